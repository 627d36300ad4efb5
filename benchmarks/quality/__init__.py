"""Measures upscalers against references; owns preparation, methods, metrics and tables, never imports torch.

The map: `media` reads and writes video, `store` keeps what was computed, `prepare` makes reference and
low-resolution input, `methods` upscales, `metrics` compares, `table` and `strips` show.
"""
