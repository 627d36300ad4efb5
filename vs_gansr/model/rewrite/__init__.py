"""One graph made into another that computes the same: for other arithmetic, or faster on a processor."""
