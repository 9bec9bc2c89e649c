/* scenes_scope.c: scopes and their children. A part plays who has the scope: it launches, waits, leaves. */
#include "play.h"
#include "../kc_test.h"

/* ---- children: each gets the part that launched it as arg ---- */

static void finishes(kc_task_scope *scope, part *me, const char *who) {
    say(me->p, "%s starts", who);
    receives(me->p, who, me->channel, kc_task_scope_cancel_of(scope));
    say(me->p, "%s ends", who);
}
static void finishes_a(kc_task_scope *scope, void *me) { finishes(scope, me, "a"); }
static void finishes_b(kc_task_scope *scope, void *me) { finishes(scope, me, "b"); }
static void finishes_c(kc_task_scope *scope, void *me) { finishes(scope, me, "c"); }
static void finishes_d(kc_task_scope *scope, void *me) { finishes(scope, me, "d"); }

static void yields(part *me, const char *who) {
    say(me->p, "%s starts", who);
    kc_co_yield();
    say(me->p, "%s ends", who);
}
static void yields_a(kc_task_scope *scope, void *me) {
    (void)scope;
    yields(me, "a");
}
static void yields_b(kc_task_scope *scope, void *me) {
    (void)scope;
    yields(me, "b");
}

static void takes_its_time(kc_task_scope *scope, part *me, const char *who, int turns) {
    receives(me->p, who, me->channel, kc_task_scope_cancel_of(scope));
    for (int i = 0; i < turns; i++)
        kc_co_yield();
    say(me->p, "%s ends", who);
}
static void takes_its_time_a(kc_task_scope *scope, void *me) { takes_its_time(scope, me, "a", 9); }
static void takes_its_time_b(kc_task_scope *scope, void *me) { takes_its_time(scope, me, "b", 3); }

static void cancels_b(kc_task_scope *scope, void *arg) {
    part *me = arg;

    say(me->p, "b starts");
    kc_co_yield();
    say(me->p, "b cancels");
    KC_REQUIRE(kc_task_scope_cancel(scope, 0) == KC_OK);
    say(me->p, "b ends");
}

/* A child has no failure of its own: it leaves word, and cancels its scope. */
static void fails_b(kc_task_scope *scope, void *arg) {
    part *me = arg;

    say(me->p, "b starts");
    kc_co_yield();
    say(me->p, "b fails");
    me->values[0] = KC_EINVAL;
    KC_REQUIRE(kc_task_scope_cancel(scope, KC_REASON_CANCEL) == KC_OK);
}

/* ---- who has a scope ---- */

static kc_task_scope *scope_below(const part *me, kc_cancel *above) {
    kc_task_scope *scope = NULL;

    KC_REQUIRE(kc_task_scope_make(me->p->sched, above, &scope) == KC_OK);
    return scope;
}

static void launch_in(kc_task_scope *scope, part *me, kc_task_fn fn) {
    KC_REQUIRE(kc_task_launch(scope, fn, me) == KC_OK);
}

static void leave(kc_task_scope *scope) {
    KC_REQUIRE(kc_task_scope_wait(scope, KC_NEVER) == KC_OK);
    kc_task_scope_destroy(scope);
}

static void has_yielders(part *me) {
    kc_task_scope *scope = scope_below(me, me->cancel);

    launch_in(scope, me, yields_a);
    launch_in(scope, me, yields_b);
    say(me->p, "launched");
    leave(scope);
    say(me->p, "left");
}

static void has_three(part *me) {
    kc_task_scope *scope = scope_below(me, me->cancel);

    launch_in(scope, me, finishes_a);
    launch_in(scope, me, finishes_b);
    launch_in(scope, me, finishes_c);
    say(me->p, "launched");
    leave(scope);
    say(me->p, "left");
}

static void has_slow_ones(part *me) {
    kc_task_scope *scope = scope_below(me, me->cancel);

    launch_in(scope, me, takes_its_time_a);
    launch_in(scope, me, takes_its_time_b);
    leave(scope);
    say(me->p, "left");
}

static void has_inner(kc_task_scope *outer, void *arg) {
    part *me = arg;
    kc_task_scope *scope = scope_below(me, kc_task_scope_cancel_of(outer));

    me->p->scope = scope;
    launch_in(scope, me, finishes_b);
    launch_in(scope, me, finishes_c);
    leave(scope);
    if (me->count == 0)
        say(me->p, "inner left");
}

static void has_outer(part *me) {
    kc_task_scope *scope = scope_below(me, me->cancel);

    launch_in(scope, me, finishes_a);
    launch_in(scope, me, has_inner);
    if (me->count == 0)
        launch_in(scope, me, finishes_d);
    leave(scope);
    say(me->p, "outer left");
}

static void has_one_that_cancels(part *me) {
    kc_task_scope *scope = scope_below(me, me->cancel);

    launch_in(scope, me, finishes_a);
    launch_in(scope, me, cancels_b);
    launch_in(scope, me, finishes_c);
    leave(scope);
    say(me->p, "left");
}

static void has_one_that_fails(part *me) {
    kc_task_scope *scope = scope_below(me, me->cancel);

    launch_in(scope, me, finishes_a);
    launch_in(scope, me, fails_b);
    launch_in(scope, me, finishes_c);
    leave(scope);
    say(me->p, "scope %s", me->values[0] == KC_EINVAL ? "fails of b" : "ends");
}

static void cancels_at_once(part *me) {
    kc_task_scope *scope = scope_below(me, me->cancel);

    launch_in(scope, me, finishes_a);
    launch_in(scope, me, finishes_b);
    KC_REQUIRE(kc_task_scope_cancel(scope, 0) == KC_OK);
    leave(scope);
}

/* ---- scenes ---- */

static void play_to_the_end(play *p, part_fn act) { join(launch(p, "parent", act, p->channel, NULL)); }

static void cancel_and_join(play *p, part *parent) {
    settle();
    say(p, "cancel");
    cancel_part(parent);
    join(parent);
    say(p, "joined");
}

static void waits_for_children(play *p) { play_to_the_end(p, has_yielders); }

static void cancelled(play *p) {
    part *parent = launch(p, "parent", has_three, p->channel, NULL);

    settle();
    say(p, "cancel");
    cancel_part(parent);
    say(p, "cancelled it");
    join(parent);
    say(p, "joined");
}

static void slow_children(play *p) { cancel_and_join(p, launch(p, "parent", has_slow_ones, p->channel, NULL)); }

static void in_scope(play *p) { cancel_and_join(p, launch(p, "parent", has_outer, p->channel, NULL)); }

static void inner_alone(play *p) {
    part *parent = launch(p, "parent", has_outer, p->channel, NULL);

    parent->count = 1; /* no d, and the inner one leaves in silence */
    settle();
    say(p, "cancel");
    KC_REQUIRE(kc_task_scope_cancel(p->scope, 0) == KC_OK);
    settle();
    sends(p, "s", p->channel, 1, NULL);
    join(parent);
    say(p, "joined");
}

static void child_cancels(play *p) {
    play_to_the_end(p, has_one_that_cancels);
    say(p, "joined");
}

static void child_fails(play *p) { play_to_the_end(p, has_one_that_fails); }

static void launches_too_late(part *me) {
    kc_task_scope *scope = scope_below(me, me->cancel);

    KC_REQUIRE(kc_task_scope_cancel(scope, 0) == KC_OK);
    KC_REQUIRE(kc_task_launch(scope, finishes_a, me) == KC_ECANCELED);
    settle();
    kc_task_scope_destroy(scope);
    say(me->p, "settled");
}

static void launch_too_late(play *p) { play_to_the_end(p, launches_too_late); }

static void cancel_at_once(play *p) {
    play_to_the_end(p, cancels_at_once);
    say(p, "joined");
}

void play_scopes(void) {
    scenario("scope-waits-for-its-children", waits_for_children);
    scenario("scope-cancelled", cancelled);
    scenario("scope-cancelled-children-take-their-time", slow_children);
    scenario("scope-in-scope-cancelled", in_scope);
    scenario("inner-scope-cancelled-outer-goes-on", inner_alone);
    scenario("child-cancels-its-scope", child_cancels);
    scenario("child-fails", child_fails);
    scenario("launch-in-a-cancelled-scope", launch_too_late);
    scenario("cancel-before-children-started", cancel_at_once);
}
