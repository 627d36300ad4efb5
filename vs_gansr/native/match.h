/* match.h: which pixels of one plane show what another plane shows, see match.c. */
#ifndef GANSR_MATCH_H
#define GANSR_MATCH_H

#include "reduce.h"

/* Writes `neighbour` moved to where `centre` shows the same, and the centre's own pixels where nothing matches, to
 * `out` (stride in bytes, bytesPerSample wide samples). The planes are of one size and kind, `reduced...` made of them.
 * Returns 1; 0 where so little matches that the neighbour is of another scene, -1 where memory is short: `out` holds
 * nothing of use then. */
int alignPlane(const Source *centre, const Reduced *reducedCentre, const Source *neighbour,
               const Reduced *reducedNeighbour, uint8_t *out, ptrdiff_t stride, int bytesPerSample);

#endif
