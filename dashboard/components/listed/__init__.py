"""Runs and trainings in lists, and what a check found."""
