"""What `softnet explain` knows: topics as data (`*.toml` beside this), their schema, and the words around them."""
