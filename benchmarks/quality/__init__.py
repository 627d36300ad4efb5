"""Compare upscalers with references. Only `faithful` imports torch.

`media` reads and writes video, `store` caches results, `prepare` makes references and low-resolution inputs (`worn`
damages them like real footage), `methods` upscale, `metrics` and `texture` compare, `cost` measures time and
multiply-adds, `table`, `plot` and `strips` show results. `scenes` and `blind` make sheets that viewers rank, `ranking`
counts the ranks. `checksums` and `films` tell whether two checkouts give the same frames and the same films.
"""
