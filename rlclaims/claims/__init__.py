"""What a claim is and how it is judged: declaration, sample, comparison, evidence. Knows nothing of RL."""
