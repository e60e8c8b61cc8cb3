"""Pieces of the page: functions that return HTML, and the one component that carries it and reports
clicks."""
