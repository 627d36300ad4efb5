/* grain.h: gansr.Grain, which puts a source's grain back on its enlarged picture. */
#ifndef GANSR_GRAIN_H
#define GANSR_GRAIN_H

#include "VapourSynth4.h"

void registerGrain(VSPlugin *plugin, const VSPLUGINAPI *api);

#endif
