"""The same update again, with mechanisms switched."""
