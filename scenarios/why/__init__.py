"""`softnet why`: the run again with its trace on, and the story of one packet, drop, squeeze or flow."""
