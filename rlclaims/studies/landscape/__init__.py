"""Returns and surrogates around the policies of finished runs."""
