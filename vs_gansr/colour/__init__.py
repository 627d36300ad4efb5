"""Colour arithmetic: the meaning of frame properties and the conversions they need. No video and no networks."""
