"""Intervals over seeds and the verdicts they give; numpy and scipy only."""
