"""`gansr models`: what may be given as `model`."""
