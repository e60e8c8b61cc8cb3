"""Layers of a network: new heads, tokens as maps, a network up to a layer."""
