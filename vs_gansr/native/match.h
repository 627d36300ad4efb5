/* match.h: motion compensation between two planes; see match.c. */
#ifndef GANSR_MATCH_H
#define GANSR_MATCH_H

#include "reduce.h"

/* Write the pixels of `neighbour` that match `centre` to `out`, at the centre's positions; where nothing matches, write
 * the centre's own pixels. `stride` is in bytes, samples have bytesPerSample bytes. The planes have one size and type,
 * and `reduced...` are their reduced copies. Returns 1 on success, 0 if so few blocks match that the neighbour shows
 * another scene, -1 if out of memory; `out` is not usable after 0 and -1. */
int alignPlane(const Source *centre, const Reduced *reducedCentre, const Source *neighbour,
               const Reduced *reducedNeighbour, uint8_t *out, ptrdiff_t stride, int bytesPerSample);

#endif
