"""Errors of value networks."""
