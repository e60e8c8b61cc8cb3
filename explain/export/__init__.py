"""Export of galleries, reports and tables."""
