"""Results of finished runs: series over training, samples over seeds."""
