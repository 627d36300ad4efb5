"""Decide which provider and precision a network runs on."""
