"""Figures that describe maps, such as their complexity and stability, and decide no verdict."""
