"""Recipes that train a network, on Lightning."""
