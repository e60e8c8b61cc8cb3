"""Runs at URLs: the copy on this machine, and the lock of the one that writes."""
