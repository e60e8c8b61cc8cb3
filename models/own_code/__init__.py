"""Code of a person: which was named, how it is loaded, its hash."""
