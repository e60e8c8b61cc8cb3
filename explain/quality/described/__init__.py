"""Figures that describe maps and decide nothing."""
