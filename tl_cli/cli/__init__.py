"""The commands, a file each: parse, load, call, show."""
