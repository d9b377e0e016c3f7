"""What a session tells: a record for machines, and tables for people."""
