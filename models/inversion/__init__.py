"""Decoders that reconstruct an image from the output of one layer: their recipe, training and files."""
