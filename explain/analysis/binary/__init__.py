"""Runs of two classes."""
