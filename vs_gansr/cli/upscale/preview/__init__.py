"""Looks at a film before it is rendered."""
