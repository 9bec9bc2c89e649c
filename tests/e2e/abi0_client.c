/* abi0_client.c: a client of the older project's wire, ABI 1.0, written from its description alone and sharing no code
 * with this repository: blocking, one socket per connection, a header of 8 bytes and its payload written and read by
 * two calls each. Usage: abi0_client seqpacket|stream PATH. Prints one line per step that went wrong; exit status 0 if
 * none did.
 *
 * It judges what its author would have relied on: the bytes of every answer it knows, RESULT after that, the order of
 * answers, and that a channel belongs to the server and not to the connection that made it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HELLO = 1, GET_INFO, GET_STATS, LIST = 6, MAKE = 10, SEND, TRY_SEND, RECV, TRY_RECV, CLOSE, DESTROY };
enum { MAJOR = 1, MINOR, KIND = 5, ELEM_SIZE, CAPACITY, TIMEOUT_MS, CHAN_ID = 20, ELEMENT, RESULT, REQ_ID = 26 };
enum { EMPTY = -11, CLOSED = -32, EXPIRED = -62, CANCELED = -125, INVALID = -22, UNKNOWN = -2, NO_COMMAND = -38 };

#define LARGEST 65535u

typedef struct frame {
    uint16_t cmd;
    uint32_t len;
    uint8_t payload[LARGEST + 64];
} frame;

static const char *address;
static int type, failures;
static frame request, answer;

#define CHECK(what) (void)((what) || (failures++, printf("line %d: %s\n", __LINE__, #what)))

static void die(const char *what) {
    perror(what);
    exit(2);
}

static void put16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value) {
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }
static uint32_t get32(const uint8_t *at) { return get16(at) << 16 | get16(at + 2); }

static void start(uint16_t cmd) {
    request.cmd = cmd;
    request.len = 0;
}

static void add(uint16_t attribute, const void *value, uint32_t len) {
    uint8_t *at = request.payload + request.len;
    put16(at, attribute);
    put16(at + 2, len);
    if (len != 0)
        memcpy(at + 4, value, len);
    request.len += 4 + len;
}

static void add32(uint16_t attribute, uint32_t value) {
    uint8_t bytes[4];
    put32(bytes, value);
    add(attribute, bytes, sizeof bytes);
}

static void put_all(int fd, const uint8_t *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            die("send");
        bytes += n;
        len -= (size_t)n;
    }
}

/* Header and payload in two writes: two packets on SEQPACKET. */
static void say(int fd) {
    uint8_t header[8];
    put16(header, request.cmd);
    put16(header + 2, 0);
    put32(header + 4, request.len);
    put_all(fd, header, sizeof header);
    if (request.len != 0)
        put_all(fd, request.payload, request.len);
}

static void get_all(int fd, uint8_t *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = recv(fd, bytes, len, 0);
        if (n <= 0)
            die("recv");
        bytes += n;
        len -= (size_t)n;
    }
}

static void hear(int fd) {
    uint8_t header[8];
    get_all(fd, header, sizeof header);
    answer.cmd = (uint16_t)get16(header);
    answer.len = get32(header + 4);
    if (answer.len > sizeof answer.payload)
        die("an answer that is too long");
    get_all(fd, answer.payload, answer.len);
}

static void ask(int fd) {
    say(fd);
    hear(fd);
}

/* The attribute's value in the last answer, NULL if it has none. */
static const uint8_t *find(uint16_t attribute, uint32_t *len) {
    for (uint32_t at = 0; at + 4 <= answer.len; at += 4 + get16(answer.payload + at + 2)) {
        *len = get16(answer.payload + at + 2);
        if (get16(answer.payload + at) == attribute && at + 4 + *len <= answer.len)
            return answer.payload + at + 4;
    }
    return NULL;
}

static int32_t number(uint16_t attribute) {
    uint32_t len = 0;
    const uint8_t *value = find(attribute, &len);
    return value != NULL && len == 4 ? (int32_t)get32(value) : INT32_MIN;
}

static int connected(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type, 0);
    struct timeval limit = {.tv_sec = 20};

    snprintf(name.sun_path, sizeof name.sun_path, "%s", address);
    if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof name) != 0)
        die("connect");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit); /* an answer that never comes ends the test */
    return fd;
}

static int greeted(void) {
    int fd = connected();
    start(HELLO);
    add32(MAJOR, 1);
    add32(MINOR, 0);
    ask(fd);
    CHECK(answer.cmd == HELLO && answer.len == 16 && number(MAJOR) == 1 && number(MINOR) == 0);
    return fd;
}

static uint32_t make(int fd, int32_t kind, uint32_t elem_size, uint32_t capacity) {
    start(MAKE);
    add32(KIND, (uint32_t)kind);
    add32(ELEM_SIZE, elem_size);
    add32(CAPACITY, capacity);
    ask(fd);
    CHECK(answer.cmd == MAKE && answer.len == 8 && number(CHAN_ID) >= 1001);
    return (uint32_t)number(CHAN_ID);
}

static void put_send(uint16_t cmd, uint32_t chan, uint32_t timeout_ms, const void *element, uint32_t len) {
    start(cmd);
    add32(CHAN_ID, chan);
    add32(TIMEOUT_MS, timeout_ms);
    add(ELEMENT, element, len);
}

static int32_t send_to(int fd, uint32_t chan, uint32_t timeout_ms, const char *element) {
    put_send(SEND, chan, timeout_ms, element, (uint32_t)strlen(element));
    ask(fd);
    CHECK(answer.cmd == SEND && answer.len == 8);
    return number(RESULT);
}

static void put_recv(uint16_t cmd, uint32_t chan, uint32_t timeout_ms) {
    start(cmd);
    add32(CHAN_ID, chan);
    add32(TIMEOUT_MS, timeout_ms);
}

static int is_element(const char *text) {
    uint32_t len = 0;
    const uint8_t *element = find(ELEMENT, &len);
    return number(RESULT) == 0 && element != NULL && len == strlen(text) && memcmp(element, text, len) == 0;
}

static int32_t recv_from(int fd, uint32_t chan, uint32_t timeout_ms) {
    put_recv(RECV, chan, timeout_ms);
    ask(fd);
    CHECK(answer.cmd == RECV);
    return number(RESULT);
}

static int32_t plain(int fd, uint16_t cmd, uint32_t chan) {
    start(cmd);
    add32(CHAN_ID, chan);
    ask(fd);
    CHECK(answer.cmd == cmd);
    return number(RESULT);
}

/* ---- what it judges ---- */

static void each_kind_keeps_its_promise(int a, int b) {
    uint32_t rendezvous = make(a, 0, 4, 0), buffered = make(a, 1, 4, 2);
    uint32_t conflated = make(a, -1, 4, 0), unlimited = make(a, -2, 4, 0);

    CHECK(send_to(a, rendezvous, 0, "abcd") == EMPTY && recv_from(b, rendezvous, 0) == EMPTY);
    CHECK(send_to(a, buffered, 0, "aaaa") == 0 && send_to(a, buffered, 0, "bbbb") == 0);
    CHECK(send_to(a, buffered, 0, "cccc") == EMPTY && send_to(a, buffered, 20, "cccc") == EXPIRED);
    CHECK(recv_from(b, buffered, 0) == 0 && is_element("aaaa"));
    CHECK(recv_from(b, buffered, 0) == 0 && is_element("bbbb"));
    CHECK(recv_from(b, buffered, 20) == EXPIRED);
    CHECK(send_to(a, conflated, 0, "old.") == 0 && send_to(a, conflated, 0, "new.") == 0);
    CHECK(recv_from(b, conflated, 0) == 0 && is_element("new.") && recv_from(b, conflated, 0) == EMPTY);
    for (int i = 0; i < 500; i++)
        CHECK(send_to(a, unlimited, 0, "many") == 0);
    for (int i = 0; i < 500; i++)
        CHECK(recv_from(b, unlimited, 0) == 0 && is_element("many"));
}

/* Numbers 12 and 14 are answered as 11 and 13. */
static void tries_are_answered_as_what_they_try(int a) {
    uint32_t chan = make(a, 1, 4, 1);

    put_send(TRY_SEND, chan, 0, "once", 4);
    ask(a);
    CHECK(answer.cmd == SEND && number(RESULT) == 0);
    put_recv(TRY_RECV, chan, 0);
    ask(a);
    CHECK(answer.cmd == RECV && is_element("once"));
}

static void two_connections_meet(int a, int b) {
    uint32_t chan = make(a, 0, 4, 0);

    put_recv(RECV, chan, 0xFFFFFFFFu); /* the old -1 */
    say(b);
    while (send_to(a, chan, 0, "meet") == EMPTY)
        ; /* b's request is on its way */
    hear(b);
    CHECK(answer.cmd == RECV && is_element("meet"));
    put_send(SEND, chan, 0xFFFFFFFFu, "back", 4);
    say(b);
    CHECK(recv_from(a, chan, 10000) == 0 && is_element("back"));
    hear(b);
    CHECK(answer.cmd == SEND && number(RESULT) == 0);
}

/* What is written ahead of the answers is answered in order. */
static void requests_sent_ahead_are_answered_in_order(int a) {
    uint32_t chan = make(a, 1, 4, 64);

    for (uint32_t i = 0; i < 64; i++) {
        char text[5];
        snprintf(text, sizeof text, "%04u", i);
        put_send(SEND, chan, 0, text, 4);
        add32(REQ_ID, i + 1);
        say(a);
    }
    for (uint32_t i = 0; i < 64; i++) {
        hear(a);
        CHECK(answer.cmd == SEND && answer.len == 16 && number(RESULT) == 0 && number(REQ_ID) == (int32_t)i + 1);
    }
    for (uint32_t i = 0; i < 64; i++) {
        char text[5];
        snprintf(text, sizeof text, "%04u", i);
        CHECK(recv_from(a, chan, 0) == 0 && is_element(text));
    }
}

static void the_largest_element_arrives_whole(int a, int b) {
    static uint8_t element[LARGEST];
    uint32_t chan = make(a, 1, LARGEST, 1), len = 0;

    for (uint32_t i = 0; i < LARGEST; i++)
        element[i] = (uint8_t)(i * 31 + (i >> 8));
    put_send(SEND, chan, 0, element, LARGEST);
    ask(a);
    CHECK(number(RESULT) == 0);
    CHECK(recv_from(b, chan, 0) == 0 && answer.len == 65547);
    const uint8_t *found = find(ELEMENT, &len);
    CHECK(found != NULL && len == LARGEST && memcmp(found, element, LARGEST) == 0);
}

static void errors_are_codes_and_the_connection_lives(int a) {
    uint32_t chan = make(a, 1, 4, 1);

    CHECK(send_to(a, 99999, 0, "abcd") == UNKNOWN && recv_from(a, 99999, 0) == UNKNOWN);
    CHECK(send_to(a, chan, 0, "abc") == INVALID && send_to(a, chan, 0, "abcde") == INVALID);
    start(SEND); /* no CHAN_ID */
    add(ELEMENT, "abcd", 4);
    ask(a);
    CHECK(answer.cmd == SEND && number(RESULT) == INVALID);
    start(SEND); /* no TIMEOUT_MS: a try */
    add32(CHAN_ID, chan);
    add(ELEMENT, "abcd", 4);
    ask(a);
    CHECK(number(RESULT) == 0);
    start(777);
    ask(a);
    CHECK(answer.cmd == 777 && number(RESULT) == NO_COMMAND);
    start(MAKE); /* elements of no size */
    add32(KIND, 0);
    add32(ELEM_SIZE, 0);
    ask(a);
    CHECK(answer.cmd == MAKE && number(RESULT) == INVALID);
    start(RECV); /* an attribute that it does not know is skipped */
    add(999, "whatever", 8);
    add32(CHAN_ID, chan);
    ask(a);
    CHECK(is_element("abcd"));
}

static void the_samples_questions_are_answered(int a) {
    const uint16_t questions[] = {GET_INFO, GET_STATS, LIST};

    for (int i = 0; i < 3; i++) {
        start(questions[i]);
        ask(a);
        CHECK(answer.cmd == questions[i]);
    }
}

static void close_drains_and_destroy_ends(int a, int b) {
    uint32_t chan = make(a, 1, 4, 2);

    CHECK(send_to(a, chan, 0, "rest") == 0 && plain(b, CLOSE, chan) == 0 && plain(a, CLOSE, chan) == 0);
    CHECK(send_to(a, chan, 0, "late") == CLOSED && recv_from(b, chan, 0) == 0 && is_element("rest"));
    CHECK(recv_from(b, chan, 0) == CLOSED && recv_from(b, chan, 1000) == CLOSED);
    chan = make(a, 0, 4, 0);
    put_recv(RECV, chan, 0xFFFFFFFFu);
    say(b);
    start(DESTROY); /* not answered: the next answer is the next request's */
    add32(CHAN_ID, chan);
    say(a);
    make(a, 0, 4, 0);
    hear(b);
    CHECK(answer.cmd == RECV && (number(RESULT) == CLOSED || number(RESULT) == CANCELED || number(RESULT) == UNKNOWN));
}

static void a_channel_outlives_its_maker(int b) {
    int maker = greeted();
    uint32_t chan = make(maker, 1, 4, 2);

    CHECK(send_to(maker, chan, 0, "left") == 0);
    close(maker);
    CHECK(recv_from(b, chan, 0) == 0 && is_element("left"));
}

static void a_dead_receiver_takes_nothing(int a) {
    int dead = greeted();
    uint32_t chan = make(a, 0, 4, 0);

    put_recv(RECV, chan, 0xFFFFFFFFu);
    say(dead);
    close(dead);
    put_send(SEND, chan, 0xFFFFFFFFu, "live", 4);
    say(a);
    int heir = greeted();
    CHECK(recv_from(heir, chan, 10000) == 0 && is_element("live"));
    hear(a);
    CHECK(number(RESULT) == 0);
    close(heir);
}

static void who_does_not_greet_is_hung_up_on(void) {
    int fd = connected();
    uint8_t byte;

    put_recv(RECV, 1001, 0);
    say(fd);
    while (recv(fd, &byte, 1, 0) > 0)
        ; /* whatever it says before */
    close(fd);
}

int main(int argc, char **argv) {
    if (argc != 3 || (strcmp(argv[1], "seqpacket") != 0 && strcmp(argv[1], "stream") != 0)) {
        fprintf(stderr, "usage: abi0_client seqpacket|stream PATH\n");
        return 2;
    }
    type = strcmp(argv[1], "stream") == 0 ? SOCK_STREAM : SOCK_SEQPACKET;
    address = argv[2];
    int a = greeted(), b = greeted();
    each_kind_keeps_its_promise(a, b);
    tries_are_answered_as_what_they_try(a);
    two_connections_meet(a, b);
    requests_sent_ahead_are_answered_in_order(a);
    the_largest_element_arrives_whole(a, b);
    errors_are_codes_and_the_connection_lives(a);
    the_samples_questions_are_answered(a);
    close_drains_and_destroy_ends(a, b);
    a_channel_outlives_its_maker(b);
    a_dead_receiver_takes_nothing(a);
    who_does_not_greet_is_hung_up_on();
    close(a);
    close(b);
    return failures == 0 ? 0 : 1;
}
