/* A program of somebody who has kcoro installed and nothing else of it: prints what it received. */
#include <kcoro/kcoro.h>
#include <stdio.h>

static int fail(const char *what, int code)
{
    fprintf(stderr, "%s: %s\n", what, kc_ipc_advice(code));
    return 1;
}

int main(void)
{
    kc_ipc *ipc;
    kc_ipc_chan *chan;
    kc_ipc_message message;
    kc_ipc_chan_config wanted = {.capacity = 1};
    kc_engine *engine;
    kc_engine_config tables = {.channels = 8, .tokens = 64, .messages = 64, .heap_bytes = 1 << 20};
    int code = kc_engine_make(&tables, &engine);
    if (code != KC_OK) {
        return fail("engine", code);
    }
    kc_engine_free(engine);
    code = kc_ipc_connect(NULL, &ipc);
    if (code != KC_OK) {
        return fail("connect", code);
    }
    code = kc_ipc_make(ipc, NULL, &wanted, &chan);
    if (code == KC_OK) {
        code = kc_ipc_send(chan, "hello, stranger", 15, NULL);
    }
    if (code == KC_OK) {
        code = kc_ipc_recv(chan, &message, NULL);
    }
    if (code != KC_OK) {
        return fail("channel", code);
    }
    printf("%.*s\n", (int)message.length, (const char *)message.bytes);
    kc_ipc_message_free(&message);
    kc_ipc_chan_free(chan);
    kc_ipc_disconnect(ipc);
    return 0;
}
