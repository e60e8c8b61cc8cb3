"""Labeled images: kinds of data sources, how they are opened, and single images."""
