"""Helpers for all other packages: caches, files, decibels, memory. They know no networks, pictures or frames."""
