"""What scripts/demo shows: `clip` draws its own little film, `sheet` lays crops side by side."""
