"""Activations of layers, channels and units: maps, strongest images, feature visualization, depth."""
