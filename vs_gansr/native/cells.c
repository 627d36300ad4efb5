/* cells.c: copies between a plane and the planes of its cells, without VapourSynth.
 *
 * A cell is a square of side x side samples. `cells` holds one plane of width x height samples for each sample of a
 * cell, row by row of the cell and without gaps; `plane` has side * width x side * height samples of `bytes` bytes each.
 * vs_gansr.filter.samples calls the functions with ctypes.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* One row of a plane: the samples of `side` rows of cells, `apart` samples from each other, in turn. Compilers make
 * vector instructions of the loops whose side is a constant. */
#define DEFINE_ROWS(type)                                                                                              \
    static void joinRow_##type(type *restrict to, const type *restrict from, size_t apart, int side, int width) {      \
        if (side == 2)                                                                                                 \
            for (int x = 0; x < width; x++) {                                                                          \
                to[2 * x] = from[x];                                                                                   \
                to[2 * x + 1] = from[x + apart];                                                                       \
            }                                                                                                          \
        else if (side == 4)                                                                                            \
            for (int x = 0; x < width; x++) {                                                                          \
                to[4 * x] = from[x];                                                                                   \
                to[4 * x + 1] = from[x + apart];                                                                       \
                to[4 * x + 2] = from[x + 2 * apart];                                                                   \
                to[4 * x + 3] = from[x + 3 * apart];                                                                   \
            }                                                                                                          \
        else                                                                                                           \
            for (int column = 0; column < side; column++)                                                              \
                for (int x = 0; x < width; x++)                                                                        \
                    to[side * x + column] = from[x + (size_t)column * apart];                                          \
    }                                                                                                                  \
    static void splitRow_##type(const type *restrict from, type *restrict to, size_t apart, int side, int width) {     \
        if (side == 2)                                                                                                 \
            for (int x = 0; x < width; x++) {                                                                          \
                to[x] = from[2 * x];                                                                                   \
                to[x + apart] = from[2 * x + 1];                                                                       \
            }                                                                                                          \
        else                                                                                                           \
            for (int column = 0; column < side; column++)                                                              \
                for (int x = 0; x < width; x++)                                                                        \
                    to[x + (size_t)column * apart] = from[side * x + column];                                          \
    }

DEFINE_ROWS(uint8_t)
DEFINE_ROWS(uint16_t)
DEFINE_ROWS(uint32_t)

#define EACH_ROW(call)                                                                                                 \
    for (int y = 0; y < height; y++)                                                                                   \
        for (int row = 0; row < side; row++) {                                                                         \
            size_t apart = (size_t)width * (size_t)height;                                                             \
            size_t first = (size_t)(row * side) * apart + (size_t)y * (size_t)width;                                   \
            size_t line = (size_t)(y * side + row) * stride;                                                           \
            call;                                                                                                      \
        }

/* Fill `plane`, whose rows begin `stride` bytes apart, from the planes of its cells. */
EXPORT void gansrJoinCells(uint8_t *plane, size_t stride, const void *cells, int width, int height, int side, int bytes) {
    if (bytes == 1)
        EACH_ROW(joinRow_uint8_t(plane + line, (const uint8_t *)cells + first, apart, side, width))
    else if (bytes == 2)
        EACH_ROW(joinRow_uint16_t((uint16_t *)(void *)(plane + line), (const uint16_t *)cells + first, apart, side, width))
    else
        EACH_ROW(joinRow_uint32_t((uint32_t *)(void *)(plane + line), (const uint32_t *)cells + first, apart, side, width))
}

/* Fill the planes of the cells from `plane`. */
EXPORT void gansrSplitCells(const uint8_t *plane, size_t stride, void *cells, int width, int height, int side, int bytes) {
    if (bytes == 1)
        EACH_ROW(splitRow_uint8_t(plane + line, (uint8_t *)cells + first, apart, side, width))
    else if (bytes == 2)
        EACH_ROW(splitRow_uint16_t((const uint16_t *)(const void *)(plane + line), (uint16_t *)cells + first, apart, side, width))
    else
        EACH_ROW(splitRow_uint32_t((const uint32_t *)(const void *)(plane + line), (uint32_t *)cells + first, apart, side, width))
}
