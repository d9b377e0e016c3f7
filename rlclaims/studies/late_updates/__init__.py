"""The return before and after each late update."""
