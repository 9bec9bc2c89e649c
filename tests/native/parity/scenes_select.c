/* scenes_select.c: selects, biased and not, with cancels. */
#include "play.h"

static void selects_both(part *me) { selects(me->p, me->who, me->channel, me->other, me->cancel); }

static void selects_to_both(part *me) { selects_sends(me->p, me->who, me->channel, me->other, me->cancel); }

static void biased(play *p) {
    kc_channel *a = buffered(p, 3), *b = buffered(p, 3);

    for (int value = 1; value <= 3; value++) {
        sends(p, "s", a, value, NULL);
        sends(p, "s", b, 10 + value, NULL);
    }
    for (int i = 0; i < 6; i++)
        selects(p, "x", a, b, NULL);
}

static uint32_t takes_either(kc_channel *a, kc_channel *b) {
    int value[2];
    uint32_t index = 9;
    kc_channel_clause clauses[2] = {
        {.channel = a, .dir = KC_CLAUSE_RECV, .buffer = &value[0], .buffer_bytes = sizeof value[0]},
        {.channel = b, .dir = KC_CLAUSE_RECV, .buffer = &value[1], .buffer_bytes = sizeof value[1]}};

    (void)kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index);
    return index;
}

static void unbiased(play *p) {
    kc_channel *a = channel_of(p, KC_KIND_UNLIMITED, 0), *b = channel_of(p, KC_KIND_UNLIMITED, 0);
    int taken[2] = {0, 0};

    for (int value = 1; value <= 100; value++) {
        (void)kc_channel_try_send(a, &value, sizeof value);
        (void)kc_channel_try_send(b, &value, sizeof value);
    }
    for (int i = 0; i < 100; i++)
        taken[takes_either(a, b) & 1U]++;
    say(p, "together %d", taken[0] + taken[1]);
    say(p, "first %s", taken[0] > 0 ? "true" : "false");
    say(p, "second %s", taken[1] > 0 ? "true" : "false");
}

static void parked_then_sent(play *p) {
    kc_channel *a = p->channel, *b = rendezvous(p);

    launch(p, "x", selects_both, a, b);
    settle();
    sender_of(p, "s", b, 1);
    sender_of(p, "t", a, 2);
    settle();
    receives(p, "r", a, NULL);
    settle();
}

static void sends_to_who_waits(play *p) {
    kc_channel *a = p->channel, *b = rendezvous(p);

    receiver(p, "r", b, 1);
    settle();
    selects_sends(p, "x", a, b, NULL);
    settle();
}

static void parked_sends(play *p) {
    kc_channel *a = p->channel, *b = rendezvous(p);

    launch(p, "x", selects_to_both, a, b);
    settle();
    receives(p, "r", b, NULL);
    settle();
    tries_to_receive(p, "q", a);
}

static void cancelled_while_parked(play *p) {
    kc_channel *a = p->channel, *b = rendezvous(p);
    part *x = launch(p, "x", selects_both, a, b);

    settle();
    cancel_part(x);
    settle();
    tries_to_send(p, "s", a, 1);
    tries_to_send(p, "s", b, 2);
}

static void cancelled_before_parking(play *p) {
    kc_channel *a = buffered(p, 1);

    sends(p, "s", a, 1, NULL);
    cancel_part(launch(p, "x", selects_both, a, NULL));
    settle();
    tries_to_receive(p, "r", a);
}

static void cancelled_after_the_match(play *p) {
    kc_channel *a = p->channel, *b = rendezvous(p);
    part *x = launch(p, "x", selects_both, a, b);

    settle();
    sends(p, "s", b, 1, NULL);
    cancel_part(x);
    settle();
}

static void of_a_closed_channel(play *p) {
    kc_channel *a = p->channel, *b = rendezvous(p);

    kc_channel_close(b);
    selects(p, "x", a, b, NULL);
}

static void parked_then_closed(play *p) {
    kc_channel *a = p->channel, *b = rendezvous(p);

    launch(p, "x", selects_both, a, b);
    settle();
    say(p, "close");
    kc_channel_close(b);
    settle();
    tries_to_send(p, "s", a, 1);
}

static void in_line_with_receivers(play *p) {
    kc_channel *a = p->channel, *b = rendezvous(p);

    receiver(p, "r", a, 1);
    launch(p, "x", selects_both, b, a);
    receiver(p, "q", a, 1);
    settle();
    for (int value = 1; value <= 3; value++)
        sends(p, "s", a, value, NULL);
    settle();
}

static void two_meet(play *p) {
    kc_channel *a = p->channel, *b = rendezvous(p);

    launch(p, "x", selects_to_both, a, b);
    settle();
    launch(p, "y", selects_both, b, NULL);
    settle();
}

static void offers_and_asks(part *me) {
    int out = 10, in = 0;
    uint32_t index = 9;
    kc_channel_clause clauses[2] = {
        {.channel = me->channel, .dir = KC_CLAUSE_SEND, .data = &out, .len_bytes = sizeof out},
        {.channel = me->channel, .dir = KC_CLAUSE_RECV, .buffer = &in, .buffer_bytes = sizeof in}};

    if (kc_channel_select(clauses, 2, KC_OP_BIASED, KC_NEVER, me->cancel, &index) == KC_OK) {
        me->p->counts[index == 0 ? PLAY_SENT : PLAY_RECEIVED] += !me->p->over;
        say(me->p, "%s %s", me->who, index == 0 ? "0:sent" : "1:received");
    }
}

static void meets_not_itself(play *p) {
    launch(p, "x", offers_and_asks, p->channel, NULL);
    settle();
    say(p, "settled");
    tries_to_receive(p, "r", p->channel);
    settle();
}

void play_selections(void) {
    scenario("select-biased", biased);
    scenario("select-unbiased-takes-both", unbiased);
    scenario("select-parked-then-sent", parked_then_sent);
    scenario("select-sends-to-who-waits", sends_to_who_waits);
    scenario("select-parked-sends", parked_sends);
    scenario("select-cancelled-while-parked", cancelled_while_parked);
    scenario("select-cancelled-before-parking", cancelled_before_parking);
    scenario("select-cancelled-after-the-match", cancelled_after_the_match);
    scenario("select-of-a-closed-channel", of_a_closed_channel);
    scenario("select-parked-then-closed", parked_then_closed);
    scenario("select-in-line-with-receivers", in_line_with_receivers);
    scenario("two-selects-meet", two_meet);
    scenario("select-meets-not-itself", meets_not_itself);
}
