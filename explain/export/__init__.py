"""What leaves: galleries, reports, tables."""
