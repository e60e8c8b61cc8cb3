"""Decoders that rebuild a picture from what one layer of a network puts out: their recipe, their training,
their files."""
