"""The rows of the catalogue, a file a source, and beside them what was measured on each network."""
