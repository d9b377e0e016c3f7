"""Training and computing in worker processes, on this machine or on Ray."""
