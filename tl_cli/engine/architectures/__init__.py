"""Networks that are ours to build, in functional Keras."""
