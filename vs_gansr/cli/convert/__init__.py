"""`gansr convert`: turn other networks into models. Only this package and training import torch."""
