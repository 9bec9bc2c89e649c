/* scenes_cancel.c: cancels before, while and after an operation waits; deadlines. */
#include "play.h"

static const int two[2] = {1, 2};

static void starts_and_receives(part *me) {
    say(me->p, "%s starts", me->who);
    receives(me->p, me->who, me->channel, me->cancel);
}

static void starts_and_sends(part *me) {
    say(me->p, "%s starts", me->who);
    sends(me->p, me->who, me->channel, 1, me->cancel);
}

static void receive_before_parking(play *p) {
    kc_channel *c = p->channel;

    tries_to_send(p, "s", c, 1);
    receiver(p, "r", c, 1);
    settle();
    cancel_part(launch(p, "p", starts_and_receives, c, NULL));
    settle();
    tries_to_send(p, "s", c, 2);
    settle();
}

static void send_before_parking(play *p) {
    cancel_part(launch(p, "s", starts_and_sends, p->channel, NULL));
    settle();
    tries_to_receive(p, "r", p->channel);
}

static void child_before_it_started(play *p) {
    part *r = receiver(p, "r", p->channel, 1);

    cancel_part(r);
    settle();
    say(p, "cancelled %s", kc_cancel_is_set(r->cancel) ? "true" : "false");
}

static void receive_while_parked(play *p) {
    part *r = receiver(p, "r", p->channel, 1);

    receiver(p, "q", p->channel, 1);
    settle();
    cancel_part(r);
    say(p, "cancel");
    sends(p, "s", p->channel, 1, NULL);
    settle();
}

static void send_while_parked(play *p) {
    part *s = sender_of(p, "s", p->channel, 1);

    sender_of(p, "t", p->channel, 2);
    settle();
    cancel_part(s);
    say(p, "cancel");
    receives(p, "r", p->channel, NULL);
    settle();
}

static void send_in_a_full_buffer(play *p) {
    kc_channel *c = buffered(p, 1);
    part *s = sender(p, "s", c, 2, two);

    sender_of(p, "t", c, 3);
    settle();
    cancel_part(s);
    receives(p, "r", c, NULL);
    receives(p, "r", c, NULL);
    settle();
    tries_to_receive(p, "r", c);
}

static void receive_after_the_match(play *p) {
    part *r = receiver(p, "r", p->channel, 1);

    settle();
    sends(p, "s", p->channel, 1, NULL);
    cancel_part(r);
    say(p, "cancel");
    settle();
}

static void send_after_the_match(play *p) {
    part *s = sender_of(p, "s", p->channel, 1);

    settle();
    receives(p, "r", p->channel, NULL);
    cancel_part(s);
    say(p, "cancel");
    settle();
}

static void middle_of_three(play *p) {
    receiver(p, "r", p->channel, 1);
    part *q = receiver(p, "q", p->channel, 1);
    receiver(p, "p", p->channel, 1);

    settle();
    cancel_part(q);
    sends(p, "s", p->channel, 1, NULL);
    sends(p, "s", p->channel, 2, NULL);
    settle();
}

static void twice(play *p) {
    part *r = receiver(p, "r", p->channel, 1);

    settle();
    cancel_part(r);
    cancel_part(r);
    settle();
    tries_to_send(p, "s", p->channel, 1);
}

static void last_parked_sender(play *p) {
    part *s = sender_of(p, "s", p->channel, 1);

    settle();
    kc_channel_close(p->channel);
    cancel_part(s);
    settle();
    receives(p, "r", p->channel, NULL);
}

void play_cancels(void) {
    kinds("receive-cancelled-before-parking", receive_before_parking);
    kinds("send-cancelled-before-parking", send_before_parking);
    scenario("child-cancelled-before-it-started", child_before_it_started);
    scenario("receive-cancelled-while-parked", receive_while_parked);
    scenario("send-cancelled-while-parked", send_while_parked);
    scenario("send-cancelled-in-a-full-buffer", send_in_a_full_buffer);
    scenario("receive-cancelled-after-the-match", receive_after_the_match);
    scenario("send-cancelled-after-the-match", send_after_the_match);
    scenario("middle-one-of-three-cancelled", middle_of_three);
    scenario("cancelled-twice", twice);
    scenario("last-parked-sender-of-a-closed-channel-cancelled", last_parked_sender);
}

/* ---- deadlines ---- */

static int64_t in_ms(int64_t ms) { return kc_after_ns(ms * 1000000); }

static void receives_in_time(part *me) { receives_until(me->p, me->who, me->channel, me->deadline_ns); }

static part *receiver_until_ns(play *p, const char *who, int64_t deadline_ns) {
    part *one = launch(p, who, receives_in_time, p->channel, NULL);

    one->deadline_ns = deadline_ns;
    return one;
}

static part *receiver_until(play *p, const char *who, int64_t ms) { return receiver_until_ns(p, who, in_ms(ms)); }

static void passes_on_receive(play *p) {
    receives_until(p, "r", p->channel, in_ms(5));
    tries_to_send(p, "s", p->channel, 1);
}

static void passes_on_send(play *p) {
    sends_until(p, "s", p->channel, 1, in_ms(5));
    tries_to_receive(p, "r", p->channel);
}

static void value_before(play *p) {
    receiver_until(p, "r", 60000);
    settle();
    sends(p, "s", p->channel, 1, NULL);
    settle();
}

static void value_after(play *p) {
    part *r = receiver_until(p, "r", 100);

    settle();
    while (kc_now_ns() < r->deadline_ns + 100000000)
        ; /* the one worker does nothing else */
    sender_of(p, "s", p->channel, 1);
    join(r);
    settle();
    tries_to_receive(p, "q", p->channel);
}

static void of_now(play *p) {
    kc_channel *c = buffered(p, 1);

    sends(p, "s", c, 1, NULL);
    receives_until(p, "r", c, kc_now_ns());
    tries_to_receive(p, "q", c);
}

/* Counted from one time: how long it takes to launch them changes nothing in the order of their deadlines. */
static void order_of_time(play *p) {
    int64_t begin_ns = kc_now_ns(), ms = 1000000;
    part *all[3] = {receiver_until_ns(p, "r", begin_ns + 150 * ms), receiver_until_ns(p, "q", begin_ns + 50 * ms),
                    receiver_until_ns(p, "p", begin_ns + 100 * ms)};

    for (int i = 0; i < 3; i++)
        join(all[i]);
}

static void one_of_two(play *p) {
    part *r = receiver_until(p, "r", 5);

    receiver(p, "q", p->channel, 1);
    join(r);
    sends(p, "s", p->channel, 1, NULL);
    settle();
}

void play_deadlines(void) {
    scenario("deadline-passes-on-receive", passes_on_receive);
    scenario("deadline-passes-on-send", passes_on_send);
    scenario("value-before-the-deadline", value_before);
    scenario("value-after-the-deadline-passed-and-before-anybody-looked", value_after);
    scenario("deadline-of-now-and-a-value-is-there", of_now);
    scenario("deadlines-end-in-the-order-of-time", order_of_time);
    scenario("one-of-two-times-out-the-other-gets-the-value", one_of_two);
}
