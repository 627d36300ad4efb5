"""Run networks on CUDA, pictures through pinned memory and own streams."""
