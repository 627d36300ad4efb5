"""`gansr doctor`: what is wrong here and what repairs it."""
