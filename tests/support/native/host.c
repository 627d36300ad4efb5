/* A minimal VSScript host: evaluates a script, requests its first frames, prints their sizes. */
#include <stdio.h>
#include <stdlib.h>
#include "VSScript4.h"

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* whoever watches a long run counts lines */
    if (argc < 3)
        return 2;
    const VSSCRIPTAPI *api = getVSScriptAPI(VSSCRIPT_API_VERSION);
    if (!api)
        return 3;
    for (int round = 0; round < atoi(argv[2]); round++) {
        VSScript *script = api->createScript(NULL);
        if (api->evaluateFile(script, argv[1])) {
            printf("error: %s\n", api->getError(script));
            api->freeScript(script);
            return 4;
        }
        const VSAPI *vsapi = api->getVSAPI(VAPOURSYNTH_API_VERSION);
        VSNode *node = api->getOutputNode(script, 0);
        char message[512];
        const VSFrame *frame = vsapi->getFrame(0, node, message, sizeof(message));
        if (frame)
            printf("%dx%d\n", vsapi->getFrameWidth(frame, 0), vsapi->getFrameHeight(frame, 0));
        else
            printf("error: %s\n", message);
        vsapi->freeFrame(frame);
        vsapi->freeNode(node);
        api->freeScript(script);
    }
    return 0;
}
