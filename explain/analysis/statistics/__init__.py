"""Intervals and tests, for any figure of a run."""
