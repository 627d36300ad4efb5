"""`gansr models`: list the models that have a name."""
