"""Training the part of a network that the plan frees."""
