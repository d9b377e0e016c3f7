"""Which runs there are, which are stored, and how the missing ones get made."""
