"""Compute what a generator is asked for: loss formulas, and which of them a stage shows which pictures."""
