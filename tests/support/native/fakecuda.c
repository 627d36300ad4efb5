/* A CUDA driver without a GPU: device memory is ordinary memory, copies are done at once, calls are checked.
 * fakeBreak makes every call fail from then on, as after an illegal access; fakeRoom limits what can be taken. */
#include <stdlib.h>
#include <string.h>

#define CONTEXT ((void *)0x123456789abc)
enum { OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_HANDLE = 400 };

typedef unsigned long long Address;
static int live; /* streams, events and memory that nobody gave back */
static int broken, room = -1; /* the status of every call, 0 for none; how many may live, -1 for any */
static _Thread_local int depth;

int fakeLive(void) { return live; }
void fakeBreak(int status) { broken = status; }
void fakeRoom(int more) { room = more < 0 ? -1 : live + more; }

static int make(void **out, size_t size) {
    if (broken || !depth)
        return broken ? broken : INVALID_CONTEXT;
    if (room >= 0 && live >= room)
        return OUT_OF_MEMORY;
    if (size > 1ULL << 32)
        return OUT_OF_MEMORY;
    live++;
    *out = aligned_alloc(256, (size + 256) / 256 * 256);
    return 0;
}

static int destroy(void *handle) {
    if (broken)
        return broken;
    if (!depth || !handle)
        return depth ? INVALID_HANDLE : INVALID_CONTEXT;
    live--;
    free(handle);
    return 0;
}

static int copy(void *to, const void *from, size_t size, const void *stream) {
    if (broken || !depth || !stream)
        return broken ? broken : INVALID_HANDLE;
    memcpy(to, from, size);
    return 0;
}

int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal ? INVALID_DEVICE : 0; }
int cuDeviceGetName(char *name, int size, int device) { return strncpy(name, "Fake", (size_t)size), device; }
int cuDeviceGetUuid(char *uuid, int device) { return memset(uuid, 7, 16), device; }
int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { return *context = CONTEXT, device; }
int cuCtxPushCurrent_v2(void *context) { return depth++, context == CONTEXT ? 0 : INVALID_CONTEXT; }
int cuCtxPopCurrent_v2(void **context) { return *context = CONTEXT, depth-- > 0 ? 0 : INVALID_CONTEXT; }
int cuStreamCreate(void **stream, unsigned flags) { return flags == 1 ? make(stream, 64) : INVALID_HANDLE; }
int cuStreamDestroy_v2(void *stream) { return destroy(stream); }
int cuStreamSynchronize(void *stream) { return broken ? broken : stream && depth ? 0 : INVALID_HANDLE; }
int cuEventCreate(void **event, unsigned flags) { return flags == 3 ? make(event, 64) : INVALID_HANDLE; }
int cuEventDestroy_v2(void *event) { return destroy(event); }
int cuEventRecord(void *event, void *stream) { return event && stream && depth ? 0 : INVALID_HANDLE; }
int cuEventSynchronize(void *event) { return broken ? broken : event && depth ? 0 : INVALID_HANDLE; }
int cuMemAlloc_v2(Address *address, size_t size) { return make((void **)address, size); }
int cuMemFree_v2(Address address) { return destroy((void *)address); }
int cuMemHostAlloc(void **memory, size_t size, unsigned flags) { return flags == 1 ? make(memory, size) : INVALID_HANDLE; }
int cuMemFreeHost(void *memory) { return destroy(memory); }
int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t size, void *s) { return copy((void *)to, from, size, s); }
int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t size, void *s) { return copy(to, (void *)from, size, s); }
int cuMemGetInfo_v2(size_t *free_, size_t *total) { return *free_ = 1 << 30, *total = 1U << 31, broken; }
int cuGetErrorString(int status, const char **text) {
    *text = status == OUT_OF_MEMORY ? "out of memory" : "fake error";
    return 0;
}
int cuTensorMapEncodeTiled(void) { return 1; } /* the one function that ONNX Runtime links against */
