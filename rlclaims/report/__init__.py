"""Reports of a session: a record for machines, tables and a page for people."""
