/* match.c: block matching by whole pixels, without VapourSynth.
 *
 * Each block of 8x8 pixels of the centre plane gets the motion vector at which the 16x16 window around it differs least
 * from the neighbour. The cost is the sum of absolute differences of 8-bit copies plus a penalty for a vector unlike
 * those of adjacent blocks; without the penalty, noise would scatter the vectors. Smaller planes are searched first.
 * The search starts from the vector found there, from the vectors of preceding blocks, from zero and from the median of
 * all vectors. Vectors are whole pixels, because interpolation would destroy the aliasing that carries the detail. A
 * block without a match keeps the centre's own pixels.
 *
 * The search uses integer arithmetic in a fixed order, so equal planes give equal results on every machine.
 */
#include "match.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "simd.h"

enum {
    BLOCK = 8,         /* pixels; side of the square that shares a vector */
    WINDOW = 16,       /* pixels; side of the square that is compared */
    FARTHEST = 1024,   /* largest component of a vector */
    COARSE_REACH = 4,  /* pixels; radius of the exhaustive search in the smallest plane */
    STEPS = 16,        /* most steps of the descent from the best starting vector */
    FAR = 4,           /* pixels; the penalty for an unlike vector does not grow beyond */
    NOISE_FLOOR = 4,   /* code values per pixel by which any match may differ */
};

typedef struct Vector {
    int x, y;
} Vector;

typedef struct Field {
    int columns, rows;
    Vector *at;
} Field;

/* ---- Differences ----------------------------------------------------------------------------- */

/* Sums of absolute differences of two squares with WINDOW or BLOCK pixels per side. */
#ifdef GANSR_SSE2
static int rowsDifference(const uint8_t *a, ptrdiff_t strideA, const uint8_t *b, ptrdiff_t strideB, int rows) {
    __m128i even = _mm_setzero_si128(), odd = even;
    for (int y = 0; y < rows; y += 2, a += 2 * strideA, b += 2 * strideB) {
        even = _mm_add_epi32(even, _mm_sad_epu8(load16(a), load16(b)));
        odd = _mm_add_epi32(odd, _mm_sad_epu8(load16(a + strideA), load16(b + strideB)));
    }
    even = _mm_add_epi32(even, odd);
    return _mm_cvtsi128_si32(even) + _mm_cvtsi128_si32(_mm_srli_si128(even, 8));
}

static int windowDifference(const uint8_t *a, ptrdiff_t strideA, const uint8_t *b, ptrdiff_t strideB) {
    return rowsDifference(a, strideA, b, strideB, WINDOW);
}

static int blockDifference(const uint8_t *a, ptrdiff_t strideA, const uint8_t *b, ptrdiff_t strideB) {
    __m128i sum = _mm_setzero_si128();
    for (int y = 0; y < BLOCK; y++, a += strideA, b += strideB)
        sum = _mm_add_epi32(sum, _mm_sad_epu8(load8(a), load8(b)));
    return _mm_cvtsi128_si32(sum);
}
#else
static int squareDifference(const uint8_t *a, ptrdiff_t strideA, const uint8_t *b, ptrdiff_t strideB, int side) {
    int sum = 0;
    for (int y = 0; y < side; y++, a += strideA, b += strideB)
        for (int x = 0; x < side; x++)
            sum += abs(a[x] - b[x]);
    return sum;
}

static int windowDifference(const uint8_t *a, ptrdiff_t strideA, const uint8_t *b, ptrdiff_t strideB) {
    return squareDifference(a, strideA, b, strideB, WINDOW);
}

static int blockDifference(const uint8_t *a, ptrdiff_t strideA, const uint8_t *b, ptrdiff_t strideB) {
    return squareDifference(a, strideA, b, strideB, BLOCK);
}
#endif

/* ---- The search ------------------------------------------------------------------------------ */

/* The search for one block: its position, the allowed vectors and the best vector so far. */
typedef struct Search {
    const Plane8 *neighbour;
    const uint8_t *window;          /* in the centre plane */
    ptrdiff_t stride;               /* of the centre plane */
    int windowX, windowY;           /* upper left corner of the window */
    Vector least, most;             /* allowed vectors, which keep the block inside the picture */
    Vector expected;                /* median vector of preceding blocks */
    int price;                      /* penalty per pixel of deviation from `expected` */
    Vector best;
    int cost;
} Search;

static int clampTo(int value, int least, int most) { return value < least ? least : value > most ? most : value; }

static int median(int a, int b, int c) {
    int low = a < b ? a : b, high = a < b ? b : a;
    return clampTo(c, low, high);
}

static void tryVector(Search *s, int x, int y) {
    x = clampTo(x, s->least.x, s->most.x);
    y = clampTo(y, s->least.y, s->most.y);
    if (s->cost < INT_MAX && x == s->best.x && y == s->best.y)
        return;
    int away = abs(x - s->expected.x) + abs(y - s->expected.y);
    int cost = away ? s->price * (2 + (away < FAR ? away : FAR)) : 0;
    if (cost >= s->cost)
        return;
    const Plane8 *plane = s->neighbour;
    const uint8_t *there = plane->pixels + (s->windowY + y) * plane->stride + s->windowX + x;
    cost += windowDifference(s->window, s->stride, there, plane->stride);
    if (cost < s->cost) {
        s->cost = cost;
        s->best = (Vector){x, y};
    }
}

static void descend(Search *s) {
    static const Vector steps[4] = {{0, -1}, {-1, 0}, {1, 0}, {0, 1}};
    for (int i = 0, last = -1; i < STEPS; i++) {
        Vector from = s->best;
        int taken = -1;
        for (int k = 0; k < 4; k++) {
            if (last >= 0 && k == 3 - last) /* the direction it came from */
                continue;
            Vector before = s->best;
            tryVector(s, from.x + steps[k].x, from.y + steps[k].y);
            if (s->best.x != before.x || s->best.y != before.y)
                taken = k;
        }
        if (taken < 0)
            return;
        last = taken;
    }
}

/* Return the first pixel of a column or row of blocks; the last block ends at the picture's edge. */
static int cornerOf(int block, int length) {
    int last = length > BLOCK ? length - BLOCK : 0;
    return block * BLOCK < last ? block * BLOCK : last;
}

static void beginSearch(Search *s, const Plane8 *centre, const Plane8 *neighbour, int x, int y) {
    int width = centre->width, height = centre->height;
    int across = width < BLOCK ? width : BLOCK, down = height < BLOCK ? height : BLOCK;
    s->neighbour = neighbour;
    s->stride = centre->stride;
    s->windowX = clampTo(x - (WINDOW - BLOCK) / 2, 0, width > WINDOW ? width - WINDOW : 0);
    s->windowY = clampTo(y - (WINDOW - BLOCK) / 2, 0, height > WINDOW ? height - WINDOW : 0);
    s->window = centre->pixels + s->windowY * centre->stride + s->windowX;
    s->least = (Vector){clampTo(-x, -FARTHEST, 0), clampTo(-y, -FARTHEST, 0)};
    s->most = (Vector){clampTo(width - across - x, 0, FARTHEST), clampTo(height - down - y, 0, FARTHEST)};
    s->cost = INT_MAX;
    /* Differences between adjacent pixels grow with noise as matching errors do. */
    int busy = windowDifference(s->window, s->stride, s->window + 1, s->stride) +
               windowDifference(s->window, s->stride, s->window + s->stride, s->stride);
    s->price = 4 + busy / 24;
}

static void searchLevel(const Plane8 *centre, const Plane8 *neighbour, const Field *field, const Field *above,
                        Vector global) {
    for (int row = 0; row < field->rows; row++)
        for (int column = 0; column < field->columns; column++) {
            int x = cornerOf(column, centre->width), y = cornerOf(row, centre->height);
            Vector *here = field->at + row * field->columns + column, parent = {0, 0};
            const Vector *upper = here - field->columns;
            Search s;
            beginSearch(&s, centre, neighbour, x, y);
            if (above) {
                int up = clampTo(y / 2 / BLOCK, 0, above->rows - 1), left = clampTo(x / 2 / BLOCK, 0, above->columns - 1);
                parent = above->at[up * above->columns + left];
                parent = (Vector){2 * parent.x, 2 * parent.y};
            }
            Vector left = column ? here[-1] : row ? upper[0] : parent, top = row ? upper[0] : left;
            Vector topRight = row && column + 1 < field->columns ? upper[1] : top;
            s.expected = (Vector){median(left.x, top.x, topRight.x), median(left.y, top.y, topRight.y)};
            tryVector(&s, s.expected.x, s.expected.y);
            tryVector(&s, parent.x, parent.y);
            tryVector(&s, 0, 0);
            tryVector(&s, global.x, global.y);
            tryVector(&s, left.x, left.y);
            tryVector(&s, top.x, top.y);
            tryVector(&s, topRight.x, topRight.y);
            if (!above)
                for (int dy = -COARSE_REACH; dy <= COARSE_REACH; dy++)
                    for (int dx = -COARSE_REACH; dx <= COARSE_REACH; dx++)
                        tryVector(&s, dx, dy);
            descend(&s);
            *here = s.best;
        }
}

static int middle(const int *counts, int total) {
    int place = 0;
    for (int seen = counts[0]; 2 * seen < total; seen += counts[place])
        place++;
    return place - FARTHEST;
}

/* Return the median of all vectors, for each component separately. */
static Vector medianVector(const Field *field, int *counts) {
    int total = field->columns * field->rows;
    Vector found;
    memset(counts, 0, sizeof(int) * (2 * FARTHEST + 1));
    for (int i = 0; i < total; i++)
        counts[field->at[i].x + FARTHEST]++;
    found.x = middle(counts, total);
    memset(counts, 0, sizeof(int) * (2 * FARTHEST + 1));
    for (int i = 0; i < total; i++)
        counts[field->at[i].y + FARTHEST]++;
    found.y = middle(counts, total);
    return found;
}

/* ---- The result ------------------------------------------------------------------------------ */

/* Return true if a block matches at its vector. A block half a pixel off differs half as much as a block moved by one
 * pixel, and two samples of noise differ as much as moved noise does; both count as matches. */
static int matches(const Plane8 *centre, const Plane8 *neighbour, int x, int y, Vector v) {
    const uint8_t *here = centre->pixels + y * centre->stride + x;
    const uint8_t *there = neighbour->pixels + (y + v.y) * neighbour->stride + x + v.x;
    int busy = blockDifference(here, centre->stride, here + 1, centre->stride) +
               blockDifference(here, centre->stride, here + centre->stride, centre->stride);
    int apart = blockDifference(here, centre->stride, there, neighbour->stride);
    return apart <= NOISE_FLOOR * BLOCK * BLOCK + busy * 5 / 8;
}

static void copyBlock(uint8_t *to, ptrdiff_t stride, const Source *from, int x, int y, Vector v, int bytesPerSample) {
    int across = from->width < BLOCK ? from->width : BLOCK, down = from->height < BLOCK ? from->height : BLOCK;
    const uint8_t *source = from->pixels + (y + v.y) * from->stride + (ptrdiff_t)(x + v.x) * bytesPerSample;
    to += y * stride + (ptrdiff_t)x * bytesPerSample;
    for (int i = 0; i < down; i++)
        memcpy(to + i * stride, source + i * from->stride, (size_t)(across * bytesPerSample));
}

/* Copy the matching blocks to `out`; return true if enough blocks match. In nine clips, at most 8 % of the blocks
 * of consecutive frames had no match; in frames of different clips, more than a third had none. */
static int writeMatches(const Plane8 *centre, const Plane8 *other, const Field *field, const Source *neighbour,
                        uint8_t *out, ptrdiff_t stride, int bytesPerSample) {
    int bad = 0;
    for (int row = 0; row < field->rows; row++)
        for (int column = 0; column < field->columns; column++) {
            int x = cornerOf(column, centre->width), y = cornerOf(row, centre->height);
            Vector v = field->at[row * field->columns + column];
            if (matches(centre, other, x, y, v))
                copyBlock(out, stride, neighbour, x, y, v, bytesPerSample);
            else
                bad++;
        }
    return 3 * bad <= field->columns * field->rows;
}

int alignPlane(const Source *centre, const Reduced *reducedCentre, const Source *neighbour,
               const Reduced *reducedNeighbour, uint8_t *out, ptrdiff_t stride, int bytesPerSample) {
    Field fields[REDUCED_LEVELS];
    size_t blocks = 0;
    for (int i = 0; i < reducedCentre->levels; i++) {
        const Plane8 *plane = &reducedCentre->at[i];
        fields[i] = (Field){(plane->width + BLOCK - 1) / BLOCK, (plane->height + BLOCK - 1) / BLOCK, NULL};
        blocks += (size_t)fields[i].columns * (size_t)fields[i].rows;
    }
    Vector *vectors = malloc(sizeof(Vector) * blocks + sizeof(int) * (2 * FARTHEST + 1));
    if (!vectors)
        return -1;
    int *counts = (int *)(vectors + blocks);
    Vector *next = vectors, global = {0, 0};
    for (int i = reducedCentre->levels - 1; i >= 0; i--) {
        fields[i].at = next;
        next += (size_t)fields[i].columns * (size_t)fields[i].rows;
        const Field *above = i + 1 < reducedCentre->levels ? &fields[i + 1] : NULL;
        searchLevel(&reducedCentre->at[i], &reducedNeighbour->at[i], &fields[i], above, global);
        global = medianVector(&fields[i], counts);
        global = (Vector){clampTo(2 * global.x, -FARTHEST, FARTHEST), clampTo(2 * global.y, -FARTHEST, FARTHEST)};
    }
    for (int y = 0; y < centre->height; y++)
        memcpy(out + y * stride, centre->pixels + y * centre->stride, (size_t)centre->width * (size_t)bytesPerSample);
    int found = writeMatches(&reducedCentre->at[0], &reducedNeighbour->at[0], &fields[0], neighbour, out, stride,
                             bytesPerSample);
    free(vectors);
    return found;
}
