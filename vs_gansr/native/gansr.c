/* gansr.c: registers core.gansr.* and lets Python compute frames.
 *
 * VapourSynth loads only native libraries as plugins. This file therefore forwards calls to the Python package
 * vs_gansr and provides a frame filter that calls a Python function for each frame. It does not process pixels;
 * cells.c and grain.c do. The library does not link against Python: it looks up the few
 * functions it needs in the process, where the script host has loaded them already.
 */
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RTLD_DEFAULT */
#endif
#include <dlfcn.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "VSHelper4.h"
#include "VapourSynth4.h"
#include "grain.h"

#if defined(_MSC_VER)
#define THREAD_LOCAL __declspec(thread)
#else
#define THREAD_LOCAL _Thread_local
#endif

/* ---- Python functions, looked up at run time ------------------------------------------------- */

typedef struct PyApi {
    int (*isInitialized)(void);
    int (*ensure)(void); /* PyGILState_STATE is an enum */
    void (*release)(int);
    void *(*import)(const char *);
    void *(*callMethod)(void *, const char *, const char *, ...);
    void *(*raised)(void);
    void *(*str)(void *);
    const char *(*utf8)(void *, void *);
    void (*clear)(void);
    void (*decref)(void *);
} PyApi;

typedef void (*AnyFunction)(void);

static AnyFunction findSymbol(const char *name) {
    AnyFunction found = NULL;
#ifdef _WIN32
    /* VapourSynth's module uses the stable ABI, so python3.dll is loaded whenever Python is. */
    HMODULE module = GetModuleHandleA("python3.dll");
    FARPROC p = module ? GetProcAddress(module, name) : NULL;
#else
    void *p = dlsym(RTLD_DEFAULT, name);
#endif
    memcpy(&found, &p, sizeof(found)); /* ISO C has no cast from object to function pointer */
    return found;
}

static int findPython(PyApi *py) {
    const char *const names[] = {"Py_IsInitialized",    "PyGILState_Ensure",         "PyGILState_Release",
                                 "PyImport_ImportModule", "PyObject_CallMethod",     "PyErr_GetRaisedException",
                                 "PyObject_Str",        "PyUnicode_AsUTF8AndSize",   "PyErr_Clear",
                                 "Py_DecRef"};
    AnyFunction f[sizeof(names) / sizeof(names[0])];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!(f[i] = findSymbol(names[i])))
            return 0;
    memcpy(py, f, sizeof(f));
    return py->isInitialized() != 0;
}

/* ---- Forwarding: each call of core.gansr.X calls Python once --------------------------------- */

typedef struct Call {
    const VSMap *in;
    VSMap *out;
    VSCore *core;
    int answered;
    struct Call *outer; /* calls nest when Python calls core.gansr from inside one */
} Call;

static THREAD_LOCAL Call *currentCall = NULL;

static void setPythonError(const PyApi *py, const char *function, VSMap *out, const VSAPI *vsapi) {
    char line[1024];
    void *error = py->raised();
    void *text = error ? py->str(error) : NULL;
    const char *utf8 = text ? py->utf8(text, NULL) : NULL;
    snprintf(line, sizeof(line), "%s: the Python package vs_gansr did not answer: %s", function,
             utf8 ? utf8 : "unknown error");
    vsapi->mapSetError(out, line);
    if (text)
        py->decref(text);
    if (error)
        py->decref(error);
    py->clear();
}

static void VS_CC forwardCall(const VSMap *in, VSMap *out, void *userData, VSCore *core, const VSAPI *vsapi) {
    const char *function = (const char *)userData;
    char line[256];
    PyApi py;
    if (!findPython(&py)) {
        snprintf(line, sizeof(line),
                 "%s: no running Python interpreter in this process; use Python, vspipe or another VSScript host",
                 function);
        vsapi->mapSetError(out, line);
        return;
    }
    Call call = {in, out, core, 0, currentCall};
    currentCall = &call;
    int state = py.ensure();
    void *module = py.import("vs_gansr.plugin");
    void *result = module ? py.callMethod(module, "enter", "s", function) : NULL;
    if (!result)
        setPythonError(&py, function, out, vsapi);
    else
        py.decref(result);
    if (module)
        py.decref(module);
    py.release(state);
    currentCall = call.outer;
    if (result && !call.answered) {
        snprintf(line, sizeof(line),
                 "%s: called on a core that is not the one of the active VapourSynth environment", function);
        vsapi->mapSetError(out, line);
    }
}

/* vs_gansr.plugin.enter calls this with the function that does the work. */
static void VS_CC answer(const VSMap *in, VSMap *out, void *userData, VSCore *core, const VSAPI *vsapi) {
    (void)userData;
    Call *call = currentCall;
    if (!call) {
        vsapi->mapSetError(out, "Answer: for internal use, while another gansr function is being called");
        return;
    }
    if (call->core != core)
        return; /* forwardCall reports it */
    call->answered = 1;
    VSFunction *func = vsapi->mapGetFunction(in, "func", 0, NULL);
    VSMap *ret = vsapi->createMap();
    vsapi->callFunction(func, call->in, ret);
    vsapi->freeFunction(func);
    const char *error = vsapi->mapGetError(ret);
    if (!error)
        error = vsapi->mapGetData(ret, "error", 0, &(int){0});
    if (error)
        vsapi->mapSetError(call->out, error);
    else
        vsapi->copyMap(ret, call->out);
    vsapi->freeMap(ret);
}

/* ---- The frame filter ----------------------------------------------------------------------- */

/* func(n, f) gets frame n of every clip. With before/after it also gets the neighbours of the first clip's frame, in
 * order of time; the first and last frame are repeated at the ends. It returns val: a frame, or a clip whose frame
 * `frame` (default n) is requested and returned, or one line of text, which becomes the frame's error. */
typedef struct Filter {
    VSVideoInfo vi;
    VSFunction *func;
    int before, after, numClips;
    VSNode *clips[1]; /* numClips of them */
} Filter;

typedef struct Referral {
    VSNode *node;
    int n;
} Referral;

static void freeReferral(Referral *referral, const VSAPI *vsapi) {
    if (referral) {
        vsapi->freeNode(referral->node);
        free(referral);
    }
}

static const VSFrame *checkFrame(const VSFrame *frame, const Filter *d, VSFrameContext *ctx, const VSAPI *vsapi) {
    const VSVideoInfo *vi = &d->vi; /* the core aborts on a frame unlike its node's VSVideoInfo */
    const VSVideoFormat *format;
    if (!frame)
        return NULL;
    format = vsapi->getVideoFrameFormat(frame);
    if ((vi->width && (vi->width != vsapi->getFrameWidth(frame, 0) || vi->height != vsapi->getFrameHeight(frame, 0))) ||
        (vi->format.colorFamily != cfUndefined && !vsh_isSameVideoFormat(&vi->format, format))) {
        vsapi->setFilterError("Upscale: a frame came back with another size or format than the clip's", ctx);
        vsapi->freeFrame(frame);
        return NULL;
    }
    return frame;
}

static const VSFrame *callPython(int n, Filter *d, void **frameData, VSFrameContext *ctx, const VSAPI *vsapi) {
    const VSFrame *frame = NULL;
    VSMap *args = vsapi->createMap(), *ret = vsapi->createMap();
    int err = 0;
    vsapi->mapSetInt(args, "n", n, maReplace);
    for (int i = 0; i < d->numClips; i++)
        for (int k = i ? 0 : -d->before; k <= (i ? 0 : d->after); k++)
            vsapi->mapConsumeFrame(args, "f", vsapi->getFrameFilter(n + k < 0 ? 0 : n + k, d->clips[i], ctx), maAppend);
    vsapi->callFunction(d->func, args, ret);
    const char *error = vsapi->mapGetError(ret);
    if (error) {
        vsapi->setFilterError(error, ctx);
    } else if ((frame = vsapi->mapGetFrame(ret, "val", 0, &err)) != NULL) {
        frame = checkFrame(frame, d, ctx, vsapi);
    } else {
        VSNode *node = vsapi->mapGetNode(ret, "val", 0, &err);
        Referral *referral = node ? malloc(sizeof(*referral)) : NULL;
        if (referral) {
            referral->node = node;
            referral->n = vsapi->mapGetIntSaturated(ret, "frame", 0, &err);
            if (err)
                referral->n = n;
            *frameData = referral;
            vsapi->requestFrameFilter(referral->n, node, ctx);
        } else {
            vsapi->freeNode(node);
            error = vsapi->mapGetData(ret, "val", 0, &err);
            vsapi->setFilterError(error ? error : "Upscale: the frame callable returned neither frame nor clip", ctx);
        }
    }
    vsapi->freeMap(args);
    vsapi->freeMap(ret);
    return frame;
}

static const VSFrame *VS_CC filterGetFrame(int n, int reason, void *instanceData, void **frameData, VSFrameContext *ctx,
                                           VSCore *core, const VSAPI *vsapi) {
    (void)core;
    Filter *d = (Filter *)instanceData;
    Referral *referral = (Referral *)*frameData;
    const VSFrame *frame = NULL;
    if (reason == arInitial) {
        for (int i = 0; i < d->numClips; i++)
            for (int k = i ? 0 : -d->before; k <= (i ? 0 : d->after); k++)
                vsapi->requestFrameFilter(n + k < 0 ? 0 : n + k, d->clips[i], ctx);
        return NULL;
    }
    if (reason == arAllFramesReady) {
        if (!referral)
            return callPython(n, d, frameData, ctx, vsapi);
        frame = checkFrame(vsapi->getFrameFilter(referral->n, referral->node, ctx), d, ctx, vsapi);
    }
    *frameData = NULL;
    freeReferral(referral, vsapi); /* finished, or an input failed */
    return frame;
}

static void VS_CC filterFree(void *instanceData, VSCore *core, const VSAPI *vsapi) {
    (void)core;
    Filter *d = (Filter *)instanceData;
    for (int i = 0; i < d->numClips; i++)
        vsapi->freeNode(d->clips[i]);
    vsapi->freeFunction(d->func);
    free(d);
}

static int optionalInt(const VSMap *in, const char *key, int otherwise, const VSAPI *vsapi) {
    int err, value = vsapi->mapGetIntSaturated(in, key, 0, &err);
    return err ? otherwise : value;
}

static void VS_CC filterCreate(const VSMap *in, VSMap *out, void *userData, VSCore *core, const VSAPI *vsapi) {
    (void)userData;
    int numClips = vsapi->mapNumElements(in, "clips");
    Filter *d = calloc(1, sizeof(Filter) + sizeof(VSNode *) * (size_t)numClips);
    VSFilterDependency *deps = calloc((size_t)numClips, sizeof(VSFilterDependency));
    if (!d || !deps) {
        vsapi->mapSetError(out, "FrameFilter: out of memory");
        free(d);
        free(deps);
        return;
    }
    d->numClips = numClips;
    d->before = optionalInt(in, "before", 0, vsapi);
    d->after = optionalInt(in, "after", 0, vsapi);
    for (int i = 0; i < numClips; i++) {
        d->clips[i] = vsapi->mapGetNode(in, "clips", i, NULL);
        deps[i].source = d->clips[i];
        deps[i].requestPattern = (i == 0 && (d->before || d->after)) ? rpGeneral : rpStrictSpatial;
    }
    d->func = vsapi->mapGetFunction(in, "func", 0, NULL);
    d->vi = *vsapi->getVideoInfo(d->clips[0]);
    d->vi.width = optionalInt(in, "width", d->vi.width, vsapi);
    d->vi.height = optionalInt(in, "height", d->vi.height, vsapi);
    uint32_t format = (uint32_t)optionalInt(in, "format", -1, vsapi);
    if (format == 0)
        memset(&d->vi.format, 0, sizeof(d->vi.format));
    else if (format != (uint32_t)-1 && !vsapi->getVideoFormatByID(&d->vi.format, format, core))
        vsapi->mapSetError(out, "FrameFilter: no such format");
    if (vsapi->mapGetError(out))
        filterFree(d, core, vsapi);
    else
        vsapi->createVideoFilter(out, "Upscale", &d->vi, filterGetFrame, filterFree, fmParallel, deps, numClips, d, core);
    free(deps);
}

/* ---- Registration --------------------------------------------------------------------------- */

#define PLUGIN_VERSION VS_MAKE_VERSION(0, 1)

VS_EXTERNAL_API(void) VapourSynthPluginInit2(VSPlugin *plugin, const VSPLUGINAPI *api) {
    api->configPlugin("io.github.vs-gansr.gansr", "gansr", "GAN generator super-resolution", PLUGIN_VERSION,
                      VAPOURSYNTH_API_VERSION, 0, plugin);
    api->registerFunction("Upscale",
                          "clip:vnode;model:data:opt;provider:data:opt;device_id:int:opt;precision:data:opt;"
                          "num_streams:int:opt;tilesize:int[]:opt;overlap:int[]:opt;memory:int:opt;"
                          "strength:float:opt;texture:float:opt;reuse:int:opt;format:int:opt;"
                          "clamp:int:opt;grain:float:opt;",
                          "clip:vnode;", forwardCall, (void *)"Upscale", plugin);
    api->registerFunction("Models", "", "name:data[];scale:int[];licence:data[];summary:data[];", forwardCall,
                          (void *)"Models", plugin);
    api->registerFunction("Version", "", "gansr:data;vapoursynth:data;onnxruntime:data;providers:data[];", forwardCall,
                          (void *)"Version", plugin);
    /* For internal use by vs_gansr; VapourSynth allows no names that start with an underscore. */
    api->registerFunction("Answer", "func:func;", "", answer, NULL, plugin);
    api->registerFunction("FrameFilter",
                          "clips:vnode[];func:func;width:int:opt;height:int:opt;format:int:opt;before:int:opt;"
                          "after:int:opt;",
                          "clip:vnode;", filterCreate, NULL, plugin);
    registerGrain(plugin, api);
}
