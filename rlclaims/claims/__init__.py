"""The core, free of RL: declaring a claim, and judging it by samples, comparisons and evidence."""
