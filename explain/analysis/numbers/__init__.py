"""Runs whose outputs are numbers."""
