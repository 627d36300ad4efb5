/* grain.h: the filter gansr.Grain, which adds a source's grain to its enlarged picture; see grain.c. */
#ifndef GANSR_GRAIN_H
#define GANSR_GRAIN_H

#include "VapourSynth4.h"

void registerGrain(VSPlugin *plugin, const VSPLUGINAPI *api);

#endif
