/* reduce.h: 8-bit copies of a plane in several sizes, to search in. */
#ifndef GANSR_REDUCE_H
#define GANSR_REDUCE_H

#include <stddef.h>
#include <stdint.h>

enum {
    REDUCED_LEVELS = 8,  /* sizes at most */
    REDUCED_MARGIN = 32, /* pixels around each of them in which its edge is repeated */
    LEAST_SIDE = 48,     /* a plane is halved while its sides are as long */
};

typedef enum SampleKind { SAMPLE_BYTE, SAMPLE_WORD, SAMPLE_HALF, SAMPLE_FLOAT } SampleKind;

/* A plane as a frame stores it. `bits` counts for SAMPLE_WORD only; floats hold luma with black at 0, white at 1. */
typedef struct Source {
    const uint8_t *pixels;
    ptrdiff_t stride; /* bytes */
    int width, height;
    SampleKind kind;
    int bits;
} Source;

typedef struct Plane8 {
    uint8_t *pixels; /* of the upper left corner */
    ptrdiff_t stride;
    int width, height;
} Plane8;

typedef struct Reduced {
    int levels;
    Plane8 at[REDUCED_LEVELS]; /* the first is of full size, each next one of half the size */
} Reduced;

/* Lays out the copies of a plane of that size in `memory`, which may be NULL; returns how many bytes they take. */
size_t layOutReduced(Reduced *reduced, int width, int height, uint8_t *memory);
/* Fills the copies, laid out for its size, from a plane. */
void reducePlane(const Source *source, Reduced *reduced);

#endif
