"""Estimates of the policy gradient, and how far they agree."""
