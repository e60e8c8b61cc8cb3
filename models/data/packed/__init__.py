"""Images that lie within larger files: tar shards and Parquet tables."""
