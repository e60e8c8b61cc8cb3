"""Runs that ask for each output alone: several labels per image, or numbers."""
