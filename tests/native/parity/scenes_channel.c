/* scenes_channel.c: sending, receiving, trying, closing and destroying; parity.kt has the same under the same names. */
#include "play.h"

static const int four[4] = {1, 2, 3, 4}, teens[3] = {11, 12, 13};
static const char *const senders[4] = {"s", "t", "u", "v"};

static void send_then_receive(play *p) {
    kc_channel *c = p->channel;

    sender(p, "s", c, 4, four);
    settle();
    receiver(p, "r", c, 2);
    settle();
    say(p, "close");
    kc_channel_close(c);
    receiver(p, "q", c, 3);
    settle();
}

static void receive_then_send(play *p) {
    receiver(p, "r", p->channel, 2);
    receiver(p, "q", p->channel, 2);
    settle();
    sender(p, "s", p->channel, 4, four);
    settle();
    kc_channel_close(p->channel);
    settle();
}

static void two_and_two(play *p) {
    sender(p, "s", p->channel, 3, four);
    sender(p, "t", p->channel, 3, teens);
    receiver(p, "r", p->channel, 3);
    receiver(p, "q", p->channel, 3);
    settle();
    kc_channel_close(p->channel);
    settle();
}

static void tries(play *p) {
    kc_channel *c = p->channel;

    tries_to_receive(p, "r", c);
    for (int value = 1; value <= 3; value++)
        tries_to_send(p, "s", c, value);
    for (int time = 1; time <= 3; time++)
        tries_to_receive(p, "r", c);
    receiver(p, "q", c, 1);
    settle();
    tries_to_send(p, "s", c, 4);
    settle();
    kc_channel_close(c);
    tries_to_send(p, "s", c, 5);
}

static void try_receive_after_close(play *p) {
    tries_to_send(p, "s", p->channel, 1);
    kc_channel_close(p->channel);
    tries_to_receive(p, "r", p->channel);
    tries_to_receive(p, "r", p->channel);
}

static void try_meets_parked_sender(play *p) {
    sender_of(p, "s", p->channel, 1);
    settle();
    tries_to_receive(p, "r", p->channel);
    settle();
}

static void close_with_parked_receivers(play *p) {
    receiver(p, "r", p->channel, 1);
    receiver(p, "q", p->channel, 1);
    receiver(p, "p", p->channel, 1);
    settle();
    say(p, "close");
    kc_channel_close(p->channel);
    say(p, "closed it");
    settle();
}

static void close_with_parked_senders(play *p) {
    for (int i = 0; i < 4; i++)
        sender_of(p, senders[i], p->channel, i + 1);
    settle();
    say(p, "close");
    kc_channel_close(p->channel);
    sender_of(p, "late", p->channel, 9);
    settle();
    receiver(p, "r", p->channel, 5);
    settle();
}

static void close_twice(play *p) {
    kc_channel *c = buffered(p, 2);

    sends(p, "s", c, 1, NULL);
    kc_channel_close(c);
    kc_channel_close(c);
    for (int i = 0; i < 3; i++)
        receives(p, "r", c, NULL);
    sends(p, "s", c, 2, NULL);
}

static void destroy_with_parked_receivers(play *p) {
    receiver(p, "r", p->channel, 1);
    receiver(p, "q", p->channel, 1);
    settle();
    say(p, "destroy");
    kc_channel_destroy(p->channel, 0);
    settle();
    sender_of(p, "late", p->channel, 9);
    settle();
}

static void destroy_with_parked_senders(play *p) {
    for (int i = 0; i < 4; i++)
        sender_of(p, senders[i], p->channel, i + 1);
    settle();
    say(p, "destroy");
    kc_channel_destroy(p->channel, 0);
    settle();
    receiver(p, "late", p->channel, 1);
    settle();
}

void play_channels(void) {
    kinds("send-then-receive", send_then_receive);
    kinds("receive-then-send", receive_then_send);
    kinds("two-senders-two-receivers", two_and_two);
    kinds("tries", tries);
    kinds("try-receive-after-close", try_receive_after_close);
    scenario("try-meets-parked-sender", try_meets_parked_sender);
    kinds("close-with-parked-receivers", close_with_parked_receivers);
    kinds("close-with-parked-senders", close_with_parked_senders);
    scenario("close-twice", close_twice);
    kinds("destroy-with-parked-receivers", destroy_with_parked_receivers);
    kinds("destroy-with-parked-senders", destroy_with_parked_senders);
}
