"""Measures upscalers against references; owns preparation, methods, metrics and tables, never imports torch.

The map: `media` reads and writes video, `store` keeps what was computed, `prepare` makes reference and
low-resolution input (`worn` spoils it as real footage is spoilt), `methods` upscales, `metrics` and `texture` compare,
`cost` times, `table`, `plot` and `strips` show. `scenes` and `blind` make sheets that people rank, `ranking` counts.
"""
