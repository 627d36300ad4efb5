"""The parts that a film is rendered in, and their files."""
