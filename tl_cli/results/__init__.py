"""What was measured, as plain numbers, to and from JSON. Pure: knows nothing of how."""
