"""The server: start, requests, permissions, public link, uploads."""
