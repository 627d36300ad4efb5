"""Keep what is costly to make: engines in memory, compiled networks and findings on disk."""
