/* The mirror of the labs: turns in order, waiting in line, and tickets that outlive their records. */
#include "kc_test.h"
#include "kcoro/kc_types.h"
#include "lab/kc_mirror.h"

void kc_vm_shown(const kc_registers *live) { (void)live; }

enum { MOST = 64 };

typedef struct scene {
    kc_mirror mirror;
    kc_mirror_channel channel;
    int log[MOST];
    int count;
    kc_mirror_ticket old;
} scene;

typedef struct actor {
    scene *scene;
    int number, left, next;
} actor;

static void note(scene *s, int what) {
    KC_REQUIRE(s->count < MOST);
    s->log[s->count++] = what;
}

#define EXPECT_LOG(s, ...)                                                                                             \
    do {                                                                                                               \
        const int want[] = {__VA_ARGS__};                                                                              \
        KC_CHECK_EQ((s)->count, (int)(sizeof want / sizeof *want));                                                    \
        KC_CHECK_MEM((s)->log, want, sizeof want);                                                                     \
    } while (0)

static void step(void *arg) {
    actor *a = arg;

    note(a->scene, a->number);
    a->scene->mirror.turn = --a->left == 0 ? KC_MIRROR_DONE : KC_MIRROR_AGAIN;
}

KC_TEST(turns_are_taken_in_order_until_nobody_is_ready) {
    scene s = {0};
    actor a = {.scene = &s, .number = 1, .left = 3}, b = {.scene = &s, .number = 2, .left = 1};

    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, step, &a), KC_OK);
    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, step, &b), KC_OK);
    KC_CHECK_EQ(kc_mirror_run(&s.mirror), 0);
    EXPECT_LOG(&s, 1, 2, 1, 1);
}

KC_TEST(a_full_table_takes_no_more_and_a_place_that_ended_serves_again) {
    scene s = {0};
    actor a[KC_MIRROR_RECORDS];

    for (int i = 0; i < KC_MIRROR_RECORDS; i++) {
        a[i] = (actor){.scene = &s, .number = i, .left = 1};
        KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, step, &a[i]), KC_OK);
    }
    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, step, &a[0]), KC_ENOMEM);
    KC_CHECK_EQ(kc_mirror_run(&s.mirror), 0);
    KC_CHECK_EQ(s.count, KC_MIRROR_RECORDS);
    a[0].left = 1;
    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, step, &a[0]), KC_OK);
    KC_CHECK_EQ(kc_mirror_run(&s.mirror), 0);
    KC_CHECK_EQ(s.count, KC_MIRROR_RECORDS + 1);
}

/* Receives until the channel is over; 100 x its number + what came, 100 x its number + 99 for each wait. */
static void receive(void *arg) {
    actor *a = arg;
    kc_mirror_desc desc;
    int rc = kc_mirror_recv(&a->scene->mirror, &a->scene->channel, &desc);

    note(a->scene, 100 * a->number + (rc == KC_OK ? (int)desc.len_bytes : rc == KC_EAGAIN ? 99 : 98));
    a->scene->mirror.turn = rc == KC_EAGAIN ? KC_MIRROR_WAITS : rc == KC_OK ? KC_MIRROR_AGAIN : KC_MIRROR_DONE;
}

/* Sends next, next + 1, ... as long as some are left; then closes if number says so. */
static void send(void *arg) {
    actor *a = arg;
    scene *s = a->scene;
    const kc_mirror_desc desc = {.memory = a, .len_bytes = (uint32_t)a->next};

    s->mirror.turn = KC_MIRROR_DONE;
    if (a->left != 0 && kc_mirror_send(&s->mirror, &s->channel, &desc) == KC_EAGAIN) {
        note(s, -99);
        s->mirror.turn = KC_MIRROR_WAITS;
    } else if (a->left != 0) {
        note(s, -a->next++);
        a->left--;
        s->mirror.turn = KC_MIRROR_AGAIN;
    } else if (a->number == 0) {
        kc_mirror_close(&s->mirror, &s->channel);
    }
}

KC_TEST(who_waits_is_woken_in_line_one_for_each_message_and_all_by_the_close) {
    scene s = {.channel.capacity = 2};
    actor first = {.scene = &s, .number = 1}, second = {.scene = &s, .number = 2};
    actor sender = {.scene = &s, .left = 1, .next = 5};

    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, receive, &first), KC_OK);
    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, receive, &second), KC_OK);
    KC_CHECK_EQ(kc_mirror_run(&s.mirror), 2);
    EXPECT_LOG(&s, 199, 299);
    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, send, &sender), KC_OK);
    KC_CHECK_EQ(kc_mirror_run(&s.mirror), 0);
    EXPECT_LOG(&s, 199, 299, -5, 105, 198, 298);
}

KC_TEST(a_sender_that_finds_no_room_waits_until_there_is_and_nothing_is_lost) {
    scene s = {.channel.capacity = 1};
    actor sender = {.scene = &s, .left = 3, .next = 5}, receiver = {.scene = &s, .number = 1};

    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, send, &sender), KC_OK);
    KC_CHECK_EQ(kc_mirror_run(&s.mirror), 1);
    EXPECT_LOG(&s, -5, -99);
    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, receive, &receiver), KC_OK);
    KC_CHECK_EQ(kc_mirror_run(&s.mirror), 0);
    EXPECT_LOG(&s, -5, -99, 105, -6, 106, -7, 107, 198);
}

static void wake_the_old_one(void *arg) {
    actor *a = arg;

    kc_mirror_wake(&a->scene->mirror, a->scene->old);
    step(arg);
}

static void remember(void *arg) {
    actor *a = arg;

    a->scene->old = a->scene->mirror.self;
    step(arg);
}

KC_TEST(a_ticket_whose_record_has_ended_wakes_nobody) {
    scene s = {0};
    actor a = {.scene = &s, .number = 1, .left = 1}, b = {.scene = &s, .number = 2, .left = 1};

    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, remember, &a), KC_OK);
    KC_CHECK_EQ(kc_mirror_spawn(&s.mirror, wake_the_old_one, &b), KC_OK);
    KC_CHECK_EQ(kc_mirror_run(&s.mirror), 0);
    EXPECT_LOG(&s, 1, 2);
}

int main(void) {
    KC_RUN(turns_are_taken_in_order_until_nobody_is_ready);
    KC_RUN(a_full_table_takes_no_more_and_a_place_that_ended_serves_again);
    KC_RUN(who_waits_is_woken_in_line_one_for_each_message_and_all_by_the_close);
    KC_RUN(a_sender_that_finds_no_room_waits_until_there_is_and_nothing_is_lost);
    KC_RUN(a_ticket_whose_record_has_ended_wakes_nobody);
    return kc_test_report();
}
