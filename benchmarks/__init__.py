"""Measures what the plugin does: quality and speed; nothing of it is shipped."""
