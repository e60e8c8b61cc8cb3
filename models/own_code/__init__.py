"""Code of a person: whether it may be run, how it is loaded, and its hash."""
