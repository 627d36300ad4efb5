"""What the frames are worth, and whether they are still the same."""
