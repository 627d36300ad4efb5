"""Train generators: material in, one self-describing .onnx out. The only importers of torch beside `cli.convert`.

    command     scripts/train                         smoke       the whole chain on drawn pictures, in seconds
    loop        the training step, the judges' side, the balance of the losses
    export      checkpoint -> .onnx, its card, its int8 variant
    losses      formulas, and which pictures each is shown
    records     log, checkpoints, measures of held-out crops, report
    networks    the generator, and what judges it
    material    sharp clips, what happens to them, the pool of pairs
    recipe      what a recipe may say, and how it is read
    recipes     the recipes of the models that ship, and the weights that they begin with

Each room imports only those below it. LOG.md tells what was tried.
"""
