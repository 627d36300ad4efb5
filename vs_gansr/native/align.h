/* align.h: the filter gansr.Align; see align.c. */
#ifndef GANSR_ALIGN_H
#define GANSR_ALIGN_H

#include "VapourSynth4.h"

void registerAlign(VSPlugin *plugin, const VSPLUGINAPI *api);

#endif
