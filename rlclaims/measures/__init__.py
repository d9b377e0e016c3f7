"""Measures of one update: pure functions from an `Update` to one number per seed."""
