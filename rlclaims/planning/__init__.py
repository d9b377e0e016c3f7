"""Profiles, resolving what a claim asks for, and what it would cost."""
