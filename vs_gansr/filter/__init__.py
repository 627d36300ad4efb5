"""VapourSynth's side: from clip to clip. The only room of the runtime that imports vapoursynth."""
