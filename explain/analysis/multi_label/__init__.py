"""Runs of several labels per image."""
