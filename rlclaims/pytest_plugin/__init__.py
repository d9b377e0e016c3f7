"""The pytest plugin: hooks in plugin.py, what they call in the other files."""
