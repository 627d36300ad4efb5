"""Keep what a run leaves: log, checkpoints, measures of held-out crops, the report."""
