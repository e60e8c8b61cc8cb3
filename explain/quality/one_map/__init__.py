"""One map on one image: the figures beside it, and its check."""
