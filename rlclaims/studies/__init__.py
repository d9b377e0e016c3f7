"""Studies of finished runs: a folder for each kind, with compute.py, query.py and kind.py."""
