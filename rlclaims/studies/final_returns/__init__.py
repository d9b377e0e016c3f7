"""Returns of the trained policies over fresh episodes."""
