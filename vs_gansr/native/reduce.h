/* reduce.h: 8-bit copies of a plane in several sizes, for the motion search. */
#ifndef GANSR_REDUCE_H
#define GANSR_REDUCE_H

#include <stddef.h>
#include <stdint.h>

enum {
    REDUCED_LEVELS = 8,  /* most sizes */
    REDUCED_MARGIN = 32, /* pixels around each copy, filled with its edge pixels */
    LEAST_SIDE = 48,     /* pixels; planes with sides at least this long are halved */
};

typedef enum SampleKind { SAMPLE_BYTE, SAMPLE_WORD, SAMPLE_HALF, SAMPLE_FLOAT } SampleKind;

/* A plane as a frame stores it. `bits` is used for SAMPLE_WORD only; in float samples black is 0 and white is 1. */
typedef struct Source {
    const uint8_t *pixels;
    ptrdiff_t stride; /* bytes */
    int width, height;
    SampleKind kind;
    int bits;
} Source;

typedef struct Plane8 {
    uint8_t *pixels; /* the upper left pixel */
    ptrdiff_t stride;
    int width, height;
} Plane8;

typedef struct Reduced {
    int levels;
    Plane8 at[REDUCED_LEVELS]; /* the first has full size, each further one half the size */
} Reduced;

/* Assign parts of `memory`, which may be NULL, to the copies of a plane; return the number of bytes they need. */
size_t layOutReduced(Reduced *reduced, int width, int height, uint8_t *memory);
/* Fill the copies, laid out for the plane's size, from a plane. */
void reducePlane(const Source *source, Reduced *reduced);

#endif
