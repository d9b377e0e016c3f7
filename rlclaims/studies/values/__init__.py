"""What value networks know of the true values."""
