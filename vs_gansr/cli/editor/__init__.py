"""`gansr editor`: an editor that finds this VapourSynth."""
