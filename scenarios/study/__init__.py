"""Studies: the same traffic through two machines, what differs, and how sure that is."""
