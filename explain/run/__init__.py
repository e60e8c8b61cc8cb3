"""A run: the engine, the format of its folder, and what reads it."""
