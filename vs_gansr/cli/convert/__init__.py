"""`gansr convert`: other people's networks made into models; the only importer of torch besides training."""
