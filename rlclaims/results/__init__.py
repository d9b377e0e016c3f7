"""What may be asked of finished runs: series over training, samples over seeds."""
