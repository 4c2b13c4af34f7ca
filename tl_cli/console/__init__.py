"""What the terminal shows, a file a command where it needs one."""
