"""Policy-gradient algorithms for S seeds at once: one file, one algorithm."""
