"""What scripts/demo runs: `__main__` upscales and shows, `film` draws the clip that it makes where it is given none."""
