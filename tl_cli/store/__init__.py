"""What is kept on disk: the cache and its tables, the run directory, written predictions."""
