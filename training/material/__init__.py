"""Make the pairs that a generator learns from: sharp clips, what happens to them, and the pool they are kept in."""
