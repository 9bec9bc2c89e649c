/* Echo: a server that sends back what it receives, and a client that asks it.
 *
 *     echo serve 2 &        answers two requests, then ends
 *     echo hello world      asks for each word, prints what comes back
 *
 * A request is the number of the channel for the answer, then the text. That channel has no name and belongs to the
 * asker: it goes with him.
 *
 *     cc echo.c $(pkg-config --cflags --libs kcoro) -o echo
 */
#include <kcoro/kc_ipc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const char *what, int code)
{
    fprintf(stderr, "echo: %s: %s\n", what, kc_ipc_advice(code));
    return code;
}

/* --- the server --------------------------------------------------------------------------------------------------- */

static int answer(kc_ipc *ipc, const kc_ipc_message *request)
{
    uint32_t chan_id;
    kc_ipc_chan *back;
    const kc_ipc_wish soon = {.timeout_ms = 1000};
    if (request->length < sizeof chan_id) {
        return KC_OK; /* not one of our clients */
    }
    memcpy(&chan_id, request->bytes, sizeof chan_id);
    int code = kc_ipc_open_id(ipc, chan_id, KC_FLAG_CHAN_WRITE, &back);
    if (code == KC_OK) {
        const char *text = request->bytes;
        code = kc_ipc_send(back, text + sizeof chan_id, request->length - sizeof chan_id, &soon);
        kc_ipc_chan_free(back);
    }
    return code == KC_ECONNRESET ? code : KC_OK; /* one who is gone is no fault of ours */
}

static int serve(kc_ipc *ipc, kc_ipc_chan *requests, long count)
{
    int code = KC_OK;
    while (code == KC_OK && count-- > 0) {
        kc_ipc_message request;
        code = kc_ipc_recv(requests, &request, NULL);
        if (code == KC_OK) {
            code = answer(ipc, &request);
            kc_ipc_message_free(&request);
        }
    }
    return code;
}

/* --- the client --------------------------------------------------------------------------------------------------- */

static int ask(kc_ipc_chan *requests, kc_ipc_chan *answers, const char *text)
{
    char request[256];
    kc_ipc_chan_info info;
    kc_ipc_message message;
    size_t length = strlen(text);
    kc_ipc_chan_look(answers, &info);
    if (length > sizeof request - sizeof info.chan_id) {
        return KC_EMSGSIZE;
    }
    memcpy(request, &info.chan_id, sizeof info.chan_id);
    memcpy(request + sizeof info.chan_id, text, length);
    int code = kc_ipc_send(requests, request, sizeof info.chan_id + length, NULL);
    if (code == KC_OK) {
        code = kc_ipc_recv(answers, &message, NULL);
    }
    if (code == KC_OK) {
        printf("%.*s\n", (int)message.length, (const char *)message.bytes);
        kc_ipc_message_free(&message);
    }
    return code;
}

static int ask_all(kc_ipc *ipc, kc_ipc_chan *requests, int count, char **words)
{
    kc_ipc_chan *answers;
    int code = kc_ipc_make(ipc, NULL, NULL, &answers);
    if (code != KC_OK) {
        return code;
    }
    for (int i = 0; code == KC_OK && i < count; i++) {
        code = ask(requests, answers, words[i]);
    }
    kc_ipc_chan_free(answers);
    return code;
}

int main(int argc, char **argv)
{
    kc_ipc *ipc;
    kc_ipc_chan *requests;
    const kc_ipc_config who = {.client_name = "echo"};
    int code = kc_ipc_connect(&who, &ipc);
    if (code != KC_OK) {
        return failed("no daemon", code) != KC_OK;
    }
    code = kc_ipc_make(ipc, "echo", NULL, &requests);
    if (code == KC_OK) {
        code = argc == 3 && strcmp(argv[1], "serve") == 0 ? serve(ipc, requests, strtol(argv[2], NULL, 10))
                                                           : ask_all(ipc, requests, argc - 1, argv + 1);
        kc_ipc_chan_free(requests);
    }
    kc_ipc_disconnect(ipc);
    return code == KC_OK ? 0 : failed("echo", code) != KC_OK;
}
