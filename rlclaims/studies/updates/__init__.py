"""Late updates one by one, and the last one on many more pairs."""
