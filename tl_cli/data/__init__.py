"""Images on disk -> Manifest: records, labels, splits, bad files. Knows nothing of TensorFlow."""
