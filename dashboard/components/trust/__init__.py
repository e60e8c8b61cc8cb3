"""How far the maps of a run can be trusted, in words and charts."""
