"""`gansr convert`: turn other networks into models. No other package of vs_gansr imports torch."""
