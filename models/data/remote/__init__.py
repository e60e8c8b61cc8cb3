"""Data at URLs, through fsspec."""
