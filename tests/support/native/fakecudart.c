/* The part of a CUDA runtime that must answer, without a GPU: kernels do nothing, graphs are counted, FAKE_LOG tells.
 * tests/fakegpu.py adds the functions that only have to succeed. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void tell(const char *what, const void *stream) {
    if (getenv("FAKE_LOG"))
        fprintf(stderr, "fake %ld %s %p\n", (long)syscall(SYS_gettid), what, stream);
}

static int make(void **out, size_t size) { return *out = aligned_alloc(256, (size + 256) / 256 * 256), 0; }
static int give(void *memory) { return free(memory), 0; }
static int number(int *out, int value) { return *out = value, 0; }
static int put(void *to, const void *from, size_t size) { return memcpy(to, from, size), 0; }

int cudaGetDeviceCount(int *count) { return number(count, 1); }
int cudaGetDevice(int *device) { return number(device, 0); }
int cudaDeviceGetAttribute(int *value, int attribute, int device) { return number(value, 1); }
int cudaDriverGetVersion(int *version) { return number(version, 13000); }
int cudaRuntimeGetVersion(int *version) { return number(version, 13000); }
int cudaMalloc(void **memory, size_t size) { return make(memory, size); }
int cudaMallocHost(void **memory, size_t size) { return make(memory, size); }
int cudaHostAlloc(void **memory, size_t size, unsigned flags) { return make(memory, size); }
int cudaFree(void *memory) { return give(memory); }
int cudaFreeHost(void *memory) { return give(memory); }
int cudaMemcpy(void *to, const void *from, size_t size, int kind) { return put(to, from, size); }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *s) { return put(to, from, size); }
int cudaMemset(void *to, int value, size_t size) { return memset(to, value, size), 0; }
int cudaMemsetAsync(void *to, int value, size_t size, void *stream) { return memset(to, value, size), 0; }
int cudaMemGetInfo(size_t *free_, size_t *total) { return *free_ = *total = 1UL << 36, 0; }
int cudaStreamCreate(void **stream) { return make(stream, 64); }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return make(stream, 64); }
int cudaEventCreate(void **event) { return make(event, 64); }
int cudaEventCreateWithFlags(void **event, unsigned flags) { return make(event, 64); }
int cudaStreamIsCapturing(void *stream, int *status) { return number(status, 0); }
const char *cudaGetErrorString(int status) { return "fake"; }
const char *cudaGetErrorName(int status) { return "fake"; }

static void *handle;
void **__cudaRegisterFatBinary(void *binary) { return &handle; }

int cudaGetDeviceProperties(char *properties, int device) { /* the head of the structure is the same since CUDA 12 */
    memset(properties, 0, 376);
    strcpy(properties, "Fake");
    *(size_t *)(properties + 288) = 1UL << 36; /* totalGlobalMem */
    *(size_t *)(properties + 296) = 49152;     /* sharedMemPerBlock */
    *(int *)(properties + 308) = 32;           /* warpSize */
    *(int *)(properties + 320) = 1024;         /* maxThreadsPerBlock */
    *(int *)(properties + 336) = 1 << 30;      /* maxGridSize */
    *(int *)(properties + 360) = 9;            /* major */
    return 0;
}

int cudaStreamSynchronize(void *stream) { return tell("wait", stream), 0; }
int cudaStreamBeginCapture(void *stream, int mode) { return tell("capture", stream), 0; }
int cudaStreamEndCapture(void *stream, void **graph) { return tell("captured", stream), make(graph, 64); }
int cudaGraphInstantiate(void **executable, void *graph, unsigned long long flags) { return make(executable, 64); }
int cudaGraphLaunch(void *executable, void *stream) { return tell("launch", stream), 0; }
