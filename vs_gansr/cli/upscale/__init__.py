"""`gansr upscale`: a file in, a file out."""
