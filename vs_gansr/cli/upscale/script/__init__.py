"""The VapourSynth calls that make the result."""
