/* align.c: gansr.Align, which returns the luma of each frame and of its two neighbours, motion-compensated.
 *
 * Frame n becomes a frame of three planes of one size: luma of n - 1, n and n + 1. match.c aligns the outer two to the
 * middle one. The middle frame's own pixels are used at the clip's ends, across a change of scene, size or format, and
 * where nothing matches.
 */
#include "align.h"

#include <stdio.h>
#include <stdlib.h>

#include "VSHelper4.h"
#include "match.h"

enum { SCRATCH_ROW = 4096 }; /* bytes */

typedef struct Align {
    VSNode *node;
    VSVideoInfo vi;
} Align;

static Source describeLuma(const VSFrame *frame, const VSAPI *vsapi) {
    const VSVideoFormat *format = vsapi->getVideoFrameFormat(frame);
    SampleKind kind = SAMPLE_BYTE;
    if (format->sampleType == stFloat)
        kind = format->bytesPerSample == 2 ? SAMPLE_HALF : SAMPLE_FLOAT;
    else if (format->bytesPerSample == 2)
        kind = SAMPLE_WORD;
    return (Source){vsapi->getReadPtr(frame, 0),        vsapi->getStride(frame, 0), vsapi->getFrameWidth(frame, 0),
                    vsapi->getFrameHeight(frame, 0), kind,                       format->bitsPerSample};
}

static int flagged(const VSFrame *frame, const char *property, const VSAPI *vsapi) {
    int err;
    return vsapi->mapGetInt(vsapi->getFramePropertiesRO(frame), property, 0, &err) && !err;
}

/* Return true if a scene, size or format ends between two consecutive frames. */
static int divided(const VSFrame *before, const VSFrame *after, const VSAPI *vsapi) {
    return vsapi->getFrameWidth(before, 0) != vsapi->getFrameWidth(after, 0) ||
           vsapi->getFrameHeight(before, 0) != vsapi->getFrameHeight(after, 0) ||
           !vsh_isSameVideoFormat(vsapi->getVideoFrameFormat(before), vsapi->getVideoFrameFormat(after)) ||
           flagged(before, "_SceneChangeNext", vsapi) || flagged(after, "_SceneChangePrev", vsapi);
}

/* Make a plane's copies in several sizes, in a frame of the core's, because the core reuses the memory of frames. */
static VSFrame *reduceLuma(const Source *source, Reduced *reduced, VSCore *core, const VSAPI *vsapi) {
    VSVideoFormat bytes;
    size_t rows = layOutReduced(reduced, source->width, source->height, NULL) / SCRATCH_ROW + 1;
    vsapi->queryVideoFormat(&bytes, cfGray, stInteger, 8, 0, 0, core);
    VSFrame *memory = vsapi->newVideoFrame(&bytes, SCRATCH_ROW, (int)rows, NULL, core);
    layOutReduced(reduced, source->width, source->height, vsapi->getWritePtr(memory, 0));
    reducePlane(source, reduced);
    return memory;
}

/* Return the frame of three planes, or NULL if out of memory. `frames` is NULL for a missing neighbour. */
static VSFrame *alignFrames(const Align *d, const VSFrame *frames[3], VSCore *core, const VSAPI *vsapi) {
    const int luma[3] = {0, 0, 0};
    const VSFrame *centre = frames[1], *planes[3] = {centre, centre, centre};
    VSFrame *moved[3] = {NULL, NULL, NULL}, *memory = NULL;
    VSVideoFormat gray;
    vsapi->queryVideoFormat(&gray, cfGray, d->vi.format.sampleType, d->vi.format.bitsPerSample, 0, 0, core);
    Source source = describeLuma(centre, vsapi);
    Reduced reduced, reducedOther;
    int found = 0;
    for (int i = 0; i < 3 && found >= 0; i += 2) {
        if (!frames[i])
            continue;
        Source other = describeLuma(frames[i], vsapi);
        if (other.pixels == source.pixels)
            continue; /* a repeated frame */
        if (!memory)
            memory = reduceLuma(&source, &reduced, core, vsapi);
        VSFrame *memoryOther = reduceLuma(&other, &reducedOther, core, vsapi);
        moved[i] = vsapi->newVideoFrame(&gray, source.width, source.height, NULL, core);
        found = alignPlane(&source, &reduced, &other, &reducedOther, vsapi->getWritePtr(moved[i], 0),
                           vsapi->getStride(moved[i], 0), gray.bytesPerSample);
        vsapi->freeFrame(memoryOther);
        if (found > 0)
            planes[i] = moved[i];
    }
    VSFrame *out = NULL;
    if (found >= 0)
        out = vsapi->newVideoFrame2(&d->vi.format, source.width, source.height, planes, luma, centre, core);
    vsapi->freeFrame(memory);
    vsapi->freeFrame(moved[0]);
    vsapi->freeFrame(moved[2]);
    return out;
}

static const VSFrame *VS_CC alignGetFrame(int n, int reason, void *instanceData, void **frameData, VSFrameContext *ctx,
                                          VSCore *core, const VSAPI *vsapi) {
    (void)frameData;
    const Align *d = (const Align *)instanceData;
    int first = n > 0 ? n - 1 : 0, last = n + 1 < d->vi.numFrames ? n + 1 : d->vi.numFrames - 1;
    if (reason == arInitial)
        for (int i = first; i <= last; i++)
            vsapi->requestFrameFilter(i, d->node, ctx);
    if (reason != arAllFramesReady)
        return NULL;
    const VSFrame *frames[3] = {NULL, NULL, NULL};
    for (int i = first; i <= last; i++)
        frames[i - n + 1] = vsapi->getFrameFilter(i, d->node, ctx);
    const VSFrame *got[3] = {frames[0], frames[1], frames[2]};
    if (frames[0] && divided(frames[0], frames[1], vsapi))
        frames[0] = NULL;
    if (frames[2] && divided(frames[1], frames[2], vsapi))
        frames[2] = NULL;
    VSFrame *out = alignFrames(d, frames, core, vsapi);
    if (!out)
        vsapi->setFilterError("Align: out of memory", ctx);
    for (int i = 0; i < 3; i++)
        vsapi->freeFrame(got[i]);
    return out;
}

static void VS_CC alignFree(void *instanceData, VSCore *core, const VSAPI *vsapi) {
    (void)core;
    Align *d = (Align *)instanceData;
    vsapi->freeNode(d->node);
    free(d);
}

static void VS_CC alignCreate(const VSMap *in, VSMap *out, void *userData, VSCore *core, const VSAPI *vsapi) {
    (void)userData;
    Align *d = malloc(sizeof(Align));
    if (!d) {
        vsapi->mapSetError(out, "Align: out of memory");
        return;
    }
    d->node = vsapi->mapGetNode(in, "clip", 0, NULL);
    d->vi = *vsapi->getVideoInfo(d->node);
    const VSVideoFormat format = d->vi.format;
    int taken = (format.colorFamily == cfYUV || format.colorFamily == cfGray) &&
                (format.sampleType == stFloat || format.bitsPerSample <= 16) &&
                vsapi->queryVideoFormat(&d->vi.format, cfYUV, format.sampleType, format.bitsPerSample, 0, 0, core);
    if (!taken) {
        char line[160], name[32] = "varying";
        if (format.colorFamily != cfUndefined)
            vsapi->getVideoFormatName(&format, name);
        snprintf(line, sizeof(line),
                 "Align: format %s is not Gray or YUV of 8 to 16 bit or float; convert the clip first", name);
        vsapi->mapSetError(out, line);
        alignFree(d, core, vsapi);
        return;
    }
    VSFilterDependency dependency = {d->node, rpGeneral};
    vsapi->createVideoFilter(out, "Align", &d->vi, alignGetFrame, alignFree, fmParallel, &dependency, 1, d, core);
}

void registerAlign(VSPlugin *plugin, const VSPLUGINAPI *api) {
    api->registerFunction("Align", "clip:vnode;", "clip:vnode;", alignCreate, NULL, plugin);
}
