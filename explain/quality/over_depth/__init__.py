"""How far maps can be trusted, layer by layer."""
