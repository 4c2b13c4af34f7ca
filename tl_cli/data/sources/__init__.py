"""The kinds of data, a file each: what a source holds, listed and not yet opened."""
