/* grain.c: gansr.Grain, which adds as much grain to an enlarged clip as its source has.
 *
 * The level is measured in flat blocks of the source frame's luma. The level that the enlarged frame still has at the
 * same scale is subtracted. The noise depends only on frame number and position, so frames may be requested in any
 * order. It is added to luma, or equally to R, G and B, and fades out towards edges, black and white.
 */
#include "grain.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "VSHelper4.h"

enum {
    BLOCK = 8,         /* pixels; side of the blocks in which the level is measured */
    LEAST_BLOCKS = 16, /* with fewer flat blocks the level counts as 0 */
    CELL = 4,          /* pixels; side of the cells, each with one weight at its centre */
    HISTOGRAM = 512,   /* number of bins for the levels of blocks */
};

#define WHITE 255.0f       /* all values below are 8-bit code values */
#define LEAST_LEVEL 0.25f  /* a source below this level has no grain */
#define MOST_LEVEL 16.0f   /* limits the noise for damaged sources */
#define FLAT 5.0f          /* largest difference between the means of a flat block's quarters */
#define EDGE_FROM 5.0f     /* range of values around a cell at which grain starts to fade */
#define EDGE_TO 16.0f      /* range at which there is no grain */
#define OF_NOISE 6.0f      /* range of a cell of pure noise, in deviations; both limits rise by it */
#define FADE 10.0f         /* distance from black and white within which grain fades */
#define BLURRED 0.375f     /* deviation of unit white noise after the filter 1 2 1 along both axes */

typedef struct Grain {
    VSNode *clip, *source;
    VSVideoInfo vi;
    float amount;
} Grain;

/* A plane of any sample type, read as 8-bit code values; black is 16 or 0, as stored. */
typedef struct Luma {
    const uint8_t *pixels;
    ptrdiff_t stride;
    int width, height, bytes, isFloat;
    float scale, offset; /* code value = stored value * scale + offset */
} Luma;

static Luma describe(const VSFrame *frame, int plane, const VSAPI *vsapi) {
    const VSVideoFormat *format = vsapi->getVideoFrameFormat(frame);
    int isFloat = format->sampleType == stFloat, rgb = format->colorFamily == cfRGB;
    Luma luma = {vsapi->getReadPtr(frame, plane),        vsapi->getStride(frame, plane),
                 vsapi->getFrameWidth(frame, plane),     vsapi->getFrameHeight(frame, plane),
                 format->bytesPerSample,                 isFloat,
                 isFloat ? (rgb ? WHITE : 219.0f) : 1.0f / (float)(1 << (format->bitsPerSample - 8)),
                 isFloat && !rgb ? 16.0f : 0.0f};
    return luma;
}

static inline float at(const Luma *luma, int x, int y) {
    const uint8_t *row = luma->pixels + y * luma->stride;
    float value;
    if (luma->isFloat)
        value = ((const float *)(const void *)row)[x];
    else
        value = luma->bytes == 1 ? row[x] : ((const uint16_t *)(const void *)row)[x];
    return value * luma->scale + luma->offset;
}

/* Return the mean of `by` x `by` pixels. */
static float mean(const Luma *luma, int x, int y, int by) {
    float sum = 0;
    for (int v = 0; v < by; v++)
        for (int u = 0; u < by; u++)
            sum += at(luma, x * by + u, y * by + v);
    return sum / (float)(by * by);
}

/* Return the deviation of grain in the flat blocks of a plane reduced `by` times, in code values; 0 if unknown.
 * After J. Immerkaer, CVIU 64 (1996): the mask 1 -2 1 on both axes has a gain of 6 on white noise and 0 on slopes. */
static float levelOf(const Luma *luma, int by) {
    int columns = luma->width / by / BLOCK, rows = luma->height / by / BLOCK, flat = 0;
    int counts[HISTOGRAM] = {0};
    float values[BLOCK * BLOCK];
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++) {
            float quarters[4] = {0, 0, 0, 0}, least, most, sum = 0;
            for (int y = 0; y < BLOCK; y++)
                for (int x = 0; x < BLOCK; x++) {
                    float value = mean(luma, column * BLOCK + x, row * BLOCK + y, by);
                    values[y * BLOCK + x] = value;
                    quarters[2 * (y / (BLOCK / 2)) + x / (BLOCK / 2)] += value / (BLOCK * BLOCK / 4);
                }
            least = most = quarters[0];
            for (int i = 1; i < 4; i++) {
                least = quarters[i] < least ? quarters[i] : least;
                most = quarters[i] > most ? quarters[i] : most;
            }
            if (!(most - least < FLAT) || least < 16 + FADE || most > 235 - FADE)
                continue;
            for (int y = 1; y < BLOCK - 1; y++)
                for (int x = 1; x < BLOCK - 1; x++) {
                    const float *v = values + y * BLOCK + x;
                    float edge = v[-BLOCK - 1] + v[-BLOCK + 1] + v[BLOCK - 1] + v[BLOCK + 1];
                    float near = v[-BLOCK] + v[BLOCK] + v[-1] + v[1];
                    float response = edge - 2 * near + 4 * v[0];
                    sum += response * response;
                }
            float level = sqrtf(sum / ((BLOCK - 2) * (BLOCK - 2))) / 6;
            int bin = (int)(level * HISTOGRAM / (2 * MOST_LEVEL));
            counts[bin < HISTOGRAM ? bin : HISTOGRAM - 1]++;
            flat++;
        }
    if (flat < LEAST_BLOCKS)
        return 0;
    int bin = 0; /* the median */
    for (int seen = counts[0]; 2 * seen < flat; seen += counts[bin])
        bin++;
    return bin ? ((float)bin + 0.5f) * 2 * MOST_LEVEL / HISTOGRAM : 0;
}

/* Return uniformly distributed bits for a position in a frame: the final mix of MurmurHash3. */
static inline uint32_t bits(uint32_t x, uint32_t y, uint32_t frame) {
    uint32_t h = (x * 0x9E3779B1u) ^ (y * 0x85EBCA77u) ^ ((frame + 1) * 0xC2B2AE3Du);
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    return h ^ (h >> 16);
}

/* Fill a row with noise of mean 0: sums of four bytes, nearly Gaussian, deviation 1 before a blur by 1 2 1. */
static void noiseRow(float *out, float *white, int width, int y, int frame) {
    for (int x = 0; x < width + 2; x++) {
        uint32_t h = bits((uint32_t)x, (uint32_t)y, (uint32_t)frame);
        int sum = (int)(h & 255) + (int)((h >> 8) & 255) + (int)((h >> 16) & 255) + (int)(h >> 24);
        white[x] = (float)(sum - 510) * (1 / 147.8f);
    }
    for (int x = 0; x < width; x++)
        out[x] = 0.25f * (white[x] + 2 * white[x + 1] + white[x + 2]);
}

/* Compute the weight of grain in each cell, 0 to 1, from the values in and around the cell. `noise` is the deviation
 * of the grain that the picture has. */
static void weigh(const Luma *luma, float noise, float *weights, int columns, int rows) {
    float to = EDGE_TO + OF_NOISE * noise;
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++) {
            int left = column * CELL - 2, top = row * CELL - 2;
            float least = 1e9f, most = -1e9f, sum = 0;
            int count = 0;
            for (int y = top < 0 ? 0 : top; y < top + CELL + 4 && y < luma->height; y++)
                for (int x = left < 0 ? 0 : left; x < left + CELL + 4 && x < luma->width; x++) {
                    float value = at(luma, x, y);
                    least = value < least ? value : least;
                    most = value > most ? value : most;
                    sum += value;
                    count++;
                }
            float middle = sum / (float)count, edge = (to - (most - least)) / (EDGE_TO - EDGE_FROM);
            float dark = (middle - 16) / FADE, bright = (235 - middle) / FADE;
            float weight = edge < dark ? edge : dark;
            weight = weight < bright ? weight : bright;
            weights[row * columns + column] = weight > 1 ? 1 : weight > 0 ? weight : 0;
        }
}

/* Return the weight of a pixel, interpolated between the centres of cells. */
static inline float weightAt(const float *upper, const float *lower, float down, int x, int columns) {
    float place = ((float)x + 0.5f) / CELL - 0.5f;
    place = place < 0 ? 0 : place;
    int left = (int)place, right = left + 1 < columns ? left + 1 : columns - 1;
    left = left < columns ? left : columns - 1;
    float along = place - (float)left;
    float a = upper[left] + (upper[right] - upper[left]) * along, b = lower[left] + (lower[right] - lower[left]) * along;
    return a + (b - a) * down;
}

static inline void put(uint8_t *row, const uint8_t *from, int x, float noise, const Luma *luma, int peak) {
    if (luma->isFloat) {
        ((float *)(void *)row)[x] = ((const float *)(const void *)from)[x] + noise / luma->scale;
        return;
    }
    float old = luma->bytes == 1 ? from[x] : ((const uint16_t *)(const void *)from)[x];
    float value = old + noise / luma->scale + 0.5f;
    value = value < 0 ? 0 : value > (float)peak ? (float)peak : value;
    if (luma->bytes == 1)
        row[x] = (uint8_t)value;
    else
        ((uint16_t *)(void *)row)[x] = (uint16_t)value;
}

/* Add noise of deviation `level` to the first `planes` planes of `out`, a copy of `frame`, whose own noise has the
 * deviation `own`. 0 if out of memory. */
static int addGrain(const VSFrame *frame, VSFrame *out, int planes, float level, float own, int n, const VSAPI *vsapi) {
    Luma luma = describe(frame, planes == 3 ? 1 : 0, vsapi);
    const VSVideoFormat *format = vsapi->getVideoFrameFormat(frame);
    int columns = (luma.width + CELL - 1) / CELL, rows = (luma.height + CELL - 1) / CELL;
    int peak = luma.isFloat ? 0 : (1 << format->bitsPerSample) - 1;
    float *memory = malloc(sizeof(float) * ((size_t)columns * rows + 5 * ((size_t)luma.width + 2)));
    if (!memory)
        return 0;
    float *weights = memory, *white = weights + (size_t)columns * rows, *noise[3], *sum;
    for (int i = 0; i < 3; i++)
        noise[i] = white + (size_t)(i + 1) * (luma.width + 2);
    sum = noise[2] + luma.width + 2;
    weigh(&luma, own, weights, columns, rows);
    for (int i = 0; i < 2; i++)
        noiseRow(noise[i], white, luma.width, i, n);
    for (int y = 0; y < luma.height; y++) {
        noiseRow(noise[2], white, luma.width, y + 2, n);
        float place = ((float)y + 0.5f) / CELL - 0.5f;
        place = place < 0 ? 0 : place;
        int top = (int)place, bottom = top + 1 < rows ? top + 1 : rows - 1;
        const float *upper = weights + (size_t)top * columns, *lower = weights + (size_t)bottom * columns;
        for (int x = 0; x < luma.width; x++) {
            float blurred = 0.25f * (noise[0][x] + 2 * noise[1][x] + noise[2][x]) * (level / BLURRED);
            sum[x] = blurred * weightAt(upper, lower, place - (float)top, x, columns);
        }
        for (int plane = 0; plane < planes; plane++) {
            const uint8_t *from = vsapi->getReadPtr(frame, plane) + y * vsapi->getStride(frame, plane);
            uint8_t *row = vsapi->getWritePtr(out, plane) + y * vsapi->getStride(out, plane);
            for (int x = 0; x < luma.width; x++)
                put(row, from, x, sum[x], &luma, peak);
        }
        float *first = noise[0];
        noise[0] = noise[1];
        noise[1] = noise[2];
        noise[2] = first;
    }
    free(memory);
    return 1;
}

/* Return the deviation that remains of unit noise after a blur by 1 2 1 and a reduction to 1 / `by` of the size. */
static float kept(int by) {
    const float taps[3] = {0.25f, 0.5f, 0.25f};
    float box[16] = {0}, squares = 0;
    for (int i = 0; i < by && i < 13; i++)
        for (int k = 0; k < 3; k++)
            box[i + k] += taps[k] / (float)by;
    for (int i = 0; i < by + 2 && i < 16; i++)
        squares += box[i] * box[i];
    return squares / BLURRED;
}

static const VSFrame *VS_CC grainGetFrame(int n, int reason, void *instanceData, void **frameData, VSFrameContext *ctx,
                                          VSCore *core, const VSAPI *vsapi) {
    (void)frameData;
    const Grain *d = (const Grain *)instanceData;
    if (reason == arInitial) {
        vsapi->requestFrameFilter(n, d->clip, ctx);
        vsapi->requestFrameFilter(n, d->source, ctx);
    }
    if (reason != arAllFramesReady)
        return NULL;
    const VSFrame *frame = vsapi->getFrameFilter(n, d->clip, ctx), *source = vsapi->getFrameFilter(n, d->source, ctx);
    int rgb = vsapi->getVideoFrameFormat(source)->colorFamily == cfRGB;
    Luma small = describe(source, rgb ? 1 : 0, vsapi);
    int planes = vsapi->getVideoFrameFormat(frame)->colorFamily == cfRGB ? 3 : 1;
    Luma large = describe(frame, planes == 3 ? 1 : 0, vsapi);
    int by = small.width ? (large.width + small.width / 2) / small.width : 1;
    by = by < 1 ? 1 : by > 12 ? 12 : by;
    float level = levelOf(&small, 1), left = level > 0 ? levelOf(&large, by) : 0;
    float missing = level * level * d->amount * d->amount - left * left;
    VSFrame *out = NULL;
    if (level >= LEAST_LEVEL && missing > 0) {
        float wanted = sqrtf(missing) / kept(by);
        out = vsapi->copyFrame(frame, core);
        if (!addGrain(frame, out, planes, wanted < MOST_LEVEL ? wanted : MOST_LEVEL, left / kept(by), n, vsapi)) {
            vsapi->setFilterError("Grain: out of memory", ctx);
            vsapi->freeFrame(out);
            vsapi->freeFrame(frame);
            vsapi->freeFrame(source);
            return NULL;
        }
    }
    vsapi->freeFrame(source);
    if (!out)
        return frame;
    vsapi->freeFrame(frame);
    return out;
}

static void VS_CC grainFree(void *instanceData, VSCore *core, const VSAPI *vsapi) {
    (void)core;
    Grain *d = (Grain *)instanceData;
    vsapi->freeNode(d->clip);
    vsapi->freeNode(d->source);
    free(d);
}

static int taken(const VSVideoFormat *format) {
    return format->colorFamily != cfUndefined &&
           (format->sampleType == stFloat ? format->bitsPerSample == 32 : format->bitsPerSample <= 16);
}

static void VS_CC grainCreate(const VSMap *in, VSMap *out, void *userData, VSCore *core, const VSAPI *vsapi) {
    (void)userData;
    int err;
    Grain *d = malloc(sizeof(Grain));
    if (!d) {
        vsapi->mapSetError(out, "Grain: out of memory");
        return;
    }
    d->clip = vsapi->mapGetNode(in, "clip", 0, NULL);
    d->source = vsapi->mapGetNode(in, "source", 0, NULL);
    d->vi = *vsapi->getVideoInfo(d->clip);
    const VSVideoInfo *source = vsapi->getVideoInfo(d->source);
    double amount = vsapi->mapGetFloat(in, "amount", 0, &err);
    d->amount = err ? 1.0f : (float)amount;
    if (!taken(&d->vi.format) || !taken(&source->format))
        vsapi->mapSetError(out, "Grain: clip and source must each have one format, of 8 to 16 bit integer or single "
                                "float; convert them first");
    else if (source->numFrames != d->vi.numFrames)
        vsapi->mapSetError(out, "Grain: clip and source differ in length; give the clip that was enlarged as source");
    else if (!(d->amount >= 0 && d->amount <= 4))
        vsapi->mapSetError(out, "Grain: amount must be from 0 (none) to 4; 1 is the source's own level");
    if (vsapi->mapGetError(out)) {
        grainFree(d, core, vsapi);
        return;
    }
    VSFilterDependency dependencies[] = {{d->clip, rpStrictSpatial}, {d->source, rpStrictSpatial}};
    vsapi->createVideoFilter(out, "Grain", &d->vi, grainGetFrame, grainFree, fmParallel, dependencies, 2, d, core);
}

void registerGrain(VSPlugin *plugin, const VSPLUGINAPI *api) {
    api->registerFunction("Grain", "clip:vnode;source:vnode;amount:float:opt;", "clip:vnode;", grainCreate, NULL, plugin);
}
