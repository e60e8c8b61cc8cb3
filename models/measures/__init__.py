"""Measures of predictions, and the cost of a network."""
