"""Whatever computes: planes in, planes out. Sessions, providers, devices, memory and tiles; knows no VapourSynth."""
