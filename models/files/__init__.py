"""Files of any content: written whole or not at all, temporary folders, caches, formats."""
