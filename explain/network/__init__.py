"""A network as it is looked into: hooks, layers, sizes."""
