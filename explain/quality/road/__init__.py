"""ROAD: what removed parts of an image are replaced by."""
