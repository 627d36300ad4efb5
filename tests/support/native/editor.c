/* Looks for VapourSynth as VSEdit does: `vapoursynth-script`, on Windows `vsscript`, on the loader's path; VSSCRIPT_PATH
   unread. */
#ifdef _WIN32
#include <windows.h>
#define LOAD() LoadLibraryA("vsscript")
#define FIND GetProcAddress
#else
#include <dlfcn.h>
#define LOAD() dlopen("libvapoursynth-script.so", RTLD_LAZY | RTLD_GLOBAL)
#define FIND dlsym
#endif
#include <stdio.h>
#include "VSScript4.h"

int main(int argc, char **argv) {
    void *library = LOAD();
    if (argc < 2 || !library)
        return 3;
    const VSSCRIPTAPI *(VS_CC * get)(int) = (const VSSCRIPTAPI *(VS_CC *)(int))FIND(library, "getVSScriptAPI");
    const VSSCRIPTAPI *api = get(VS_MAKE_VERSION(4, 1));
    if (!api)
        return 4;
    VSScript *script = api->createScript(NULL);
    if (api->evaluateFile(script, argv[1])) {
        printf("error: %s\n", api->getError(script));
        return 5;
    }
    VSNode *node = api->getOutputNode(script, 0);
    const VSAPI *vsapi = api->getVSAPI(VAPOURSYNTH_API_VERSION);
    const VSVideoInfo *info = vsapi->getVideoInfo(node);
    printf("%dx%d\n", info->width, info->height);
    vsapi->freeNode(node);
    api->freeScript(script);
    return 0;
}
