"""One file a tab, its view state beside it."""
