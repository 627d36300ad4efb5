/* reduce.c: 8-bit copies of a plane in several sizes, for the motion search; see reduce.h. */
#include "reduce.h"

#include <string.h>

#include "simd.h"

static uint8_t toByte(float value) { /* black 16, white 235, with room for values outside */
    float code = value * 219.0f + 16.5f;
    code = code > 0.0f ? code : 0.0f; /* NaN becomes 0 */
    return (uint8_t)(code < 255.0f ? code : 255.0f);
}

static float fromHalf(uint16_t half) { /* for finite values */
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13;
    float value;
    memcpy(&value, &bits, sizeof(value));
    value *= 0x1p112f;
    return half & 0x8000 ? -value : value;
}

static void reduceRow(uint8_t *to, const uint8_t *row, const Source *source) {
    const uint16_t *words = (const uint16_t *)(const void *)row;
    const float *floats = (const float *)(const void *)row;
    int width = source->width, shift = source->bits - 8;
    switch (source->kind) {
    case SAMPLE_BYTE:
        memcpy(to, row, (size_t)width);
        break;
    case SAMPLE_WORD:
        for (int x = 0; x < width; x++)
            to[x] = (uint8_t)(words[x] >> shift);
        break;
    case SAMPLE_HALF:
        for (int x = 0; x < width; x++)
            to[x] = toByte(fromHalf(words[x]));
        break;
    case SAMPLE_FLOAT:
        for (int x = 0; x < width; x++)
            to[x] = toByte(floats[x]);
        break;
    }
}

static void halveRow(uint8_t *to, const uint8_t *a, const uint8_t *b, int width) {
    int x = 0;
#ifdef GANSR_SSE2
    const __m128i bytes = _mm_set1_epi16(0xff), two = _mm_set1_epi16(2);
    for (; x + 8 <= width; x += 8) {
        __m128i upper = load16(a + 2 * x), lower = load16(b + 2 * x);
        __m128i sum = _mm_add_epi16(_mm_and_si128(upper, bytes), _mm_srli_epi16(upper, 8));
        sum = _mm_add_epi16(sum, _mm_add_epi16(_mm_and_si128(lower, bytes), _mm_srli_epi16(lower, 8)));
        sum = _mm_srli_epi16(_mm_add_epi16(sum, two), 2);
        _mm_storel_epi64((__m128i *)(void *)(to + x), _mm_packus_epi16(sum, sum));
    }
#endif
    for (; x < width; x++)
        to[x] = (uint8_t)((a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1] + 2) >> 2);
}

static void halve(const Plane8 *from, const Plane8 *to) {
    for (int y = 0; y < to->height; y++) {
        const uint8_t *row = from->pixels + 2 * y * from->stride;
        halveRow(to->pixels + y * to->stride, row, row + from->stride, to->width);
    }
}

static void repeatEdges(const Plane8 *plane) {
    size_t whole = (size_t)plane->width + 2 * REDUCED_MARGIN;
    for (int y = 0; y < plane->height; y++) {
        uint8_t *row = plane->pixels + y * plane->stride;
        memset(row - REDUCED_MARGIN, row[0], REDUCED_MARGIN);
        memset(row + plane->width, row[plane->width - 1], REDUCED_MARGIN);
    }
    uint8_t *top = plane->pixels - REDUCED_MARGIN, *bottom = top + (plane->height - 1) * plane->stride;
    for (int y = 1; y <= REDUCED_MARGIN; y++) {
        memcpy(top - y * plane->stride, top, whole);
        memcpy(bottom + y * plane->stride, bottom, whole);
    }
}

size_t layOutReduced(Reduced *reduced, int width, int height, uint8_t *memory) {
    size_t bytes = 0;
    for (reduced->levels = 0; reduced->levels < REDUCED_LEVELS; width /= 2, height /= 2) {
        ptrdiff_t stride = ((ptrdiff_t)width + 2 * REDUCED_MARGIN + 63) & ~(ptrdiff_t)63;
        size_t corner = bytes + (size_t)(REDUCED_MARGIN * stride + REDUCED_MARGIN);
        bytes += (size_t)stride * ((size_t)height + 2 * REDUCED_MARGIN);
        reduced->at[reduced->levels++] = (Plane8){memory ? memory + corner : NULL, stride, width, height};
        if ((width < height ? width : height) < LEAST_SIDE)
            break;
    }
    return bytes;
}

void reducePlane(const Source *source, Reduced *reduced) {
    const Plane8 *plane = reduced->at;
    for (int y = 0; y < source->height; y++)
        reduceRow(plane->pixels + y * plane->stride, source->pixels + y * source->stride, source);
    repeatEdges(plane);
    for (int i = 1; i < reduced->levels; i++) {
        halve(&reduced->at[i - 1], &reduced->at[i]);
        repeatEdges(&reduced->at[i]);
    }
}
