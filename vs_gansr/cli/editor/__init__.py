"""`gansr editor`: start an editor that finds this VapourSynth."""
