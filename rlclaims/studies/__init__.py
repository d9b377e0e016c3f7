"""What is computed from finished runs, one folder a kind: compute.py beside query.py."""
