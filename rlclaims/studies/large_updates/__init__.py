"""The last kept update, made on many more pairs."""
