"""What scripts/demo shows: `clip` draws its own little film, `picture` lays crops side by side."""
