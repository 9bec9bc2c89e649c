"""select: exactly one clause takes effect, over sends and receives, ready or not.

The ideas are those of Go's select tests (chan_test.go), crossbeam's select.rs and same_channel.rs;
the code is our own.
"""

from collections import Counter

import pytest

from tests.conformance.cases import conserved, drain, fill, numbered, of
from tests.conformance.subject import (
    BLOCKING,
    BUFFERED,
    CONFLATED,
    EAGAIN,
    ECANCELED,
    EINVAL,
    EPIPE,
    ETIME,
    EVERY,
    LOSSLESS,
    OK,
    RENDEZVOUS,
    UNLIMITED,
    Arm,
    Spec,
    Subject,
)

ONE_PLACE = BUFFERED[0]


# --- ready ---


@of(LOSSLESS)
def test_select_takes_the_clause_that_is_ready(subject: Subject, spec: Spec) -> None:
    """Contract 4.6: the one ready receive wins, and the other channels are untouched."""
    (sender, chooser), chans = subject.users(2), [spec.make(subject) for _ in range(3)]
    sender.send(chans[1], b"here")
    outcome = chooser.select([Arm(chan) for chan in chans]).ok()
    assert (outcome.index, outcome.data) == (1, b"here")
    for chan in chans:
        now = sender.statistics(chan)
        assert (now["parked_receivers"], now["depth"]) == (0, 0)


@of([*BUFFERED, UNLIMITED, CONFLATED])
def test_select_sends_where_there_is_room(subject: Subject, spec: Spec) -> None:
    """Contract 4.6: the clause with room wins over one that would have to wait."""
    user, full, roomy = subject.user(), RENDEZVOUS.make(subject), spec.make(subject)
    outcome = user.select([Arm(full, b"to nobody"), Arm(roomy, b"accepted")]).ok()
    assert outcome.index == 1
    assert drain(user, roomy) == [b"accepted"]
    assert user.statistics(full)["total_sends"] == 0


def test_select_sends_to_a_receiver_that_waits(subject: Subject) -> None:
    """Contract 4.6, 4.4: a rendezvous send in a select completes with that very receiver."""
    (chooser, receiver), one, two = (
        subject.users(2),
        RENDEZVOUS.make(subject),
        RENDEZVOUS.make(subject),
    )
    parked = receiver.receive(two)
    assert chooser.select([Arm(one, b"one"), Arm(two, b"two")]).ok().index == 1
    assert parked.data == b"two"


def test_a_select_that_tries_takes_nothing_when_nothing_is_ready(subject: Subject) -> None:
    """Contract 4.1, 4.6: EAGAIN, and no clause is left behind."""
    user, a, b = subject.user(), RENDEZVOUS.make(subject), RENDEZVOUS.make(subject)
    assert user.select([Arm(a), Arm(b, b"x")], timeout_ms=0).code == EAGAIN
    for chan in (a, b):
        now = user.statistics(chan)
        assert (now["parked_senders"], now["parked_receivers"]) == (0, 0)


def test_exactly_one_of_several_ready_clauses_takes_effect(subject: Subject) -> None:
    """Contract 4.6: 64 ready receives, one message leaves, 63 stay."""
    user, chans = subject.user(), [ONE_PLACE.make(subject) for _ in range(64)]
    for place, chan in enumerate(chans):
        user.try_send(chan, b"%d" % place).ok()
    outcome = user.select([Arm(chan) for chan in chans]).ok()
    assert outcome.data == b"%d" % outcome.index
    left = [user.statistics(chan)["depth"] for chan in chans]
    assert left == [int(place != outcome.index) for place in range(64)]


# --- waiting ---


@of(LOSSLESS)
def test_a_waiting_select_is_ended_by_the_first_sender(subject: Subject, spec: Spec) -> None:
    """Contract 4.6: it takes effect on one channel and is gone from the others in that step."""
    (sender, chooser), chans = subject.users(2), [spec.make(subject) for _ in range(3)]
    parked = chooser.select([Arm(chan) for chan in chans])
    assert parked.waiting
    assert [sender.statistics(chan)["parked_receivers"] for chan in chans] == [1, 1, 1]
    sender.send(chans[2], b"x").ok()
    assert (parked.ok().index, parked.data) == (2, b"x")
    assert [sender.statistics(chan)["parked_receivers"] for chan in chans] == [0, 0, 0]


@of(BLOCKING)
def test_a_waiting_select_sends_to_the_first_receiver(subject: Subject, spec: Spec) -> None:
    """Contract 4.6, 4.2: the message went once; the other clauses' messages went nowhere."""
    (chooser, receiver), chans = subject.users(2), [spec.make(subject) for _ in range(3)]
    for chan in chans:
        fill(receiver, chan, spec)
    parked = chooser.select([Arm(chan, b"s%d" % place) for place, chan in enumerate(chans)])
    assert parked.waiting
    got = drain(receiver, chans[1])
    assert got == [*numbered(spec.capacity), b"s1"]
    assert parked.ok().index == 1
    for place in (0, 2):
        assert drain(receiver, chans[place]) == numbered(spec.capacity)


def test_sends_and_receives_wait_in_one_select(subject: Subject) -> None:
    """Contract 4.6: whichever side finds its partner first."""
    (chooser, other), a, b = subject.users(2), RENDEZVOUS.make(subject), RENDEZVOUS.make(subject)
    parked = chooser.select([Arm(a, b"out"), Arm(b)])
    other.send(b, b"in").ok()
    assert (parked.ok().index, parked.data) == (1, b"in")
    parked = chooser.select([Arm(a, b"out"), Arm(b)])
    assert other.receive(a).data == b"out"
    assert parked.ok().index == 0


def test_a_select_that_times_out_did_nothing(subject: Subject) -> None:
    """Contract 4.1, 4.6: ETIME, gone from every channel, counted once."""
    (chooser, other), chans = subject.users(2), [RENDEZVOUS.make(subject) for _ in range(3)]
    arms = [Arm(chans[0]), Arm(chans[1], b"x"), Arm(chans[2])]
    assert chooser.select(arms, timeout_ms=5).wait().code == ETIME
    stats = [other.statistics(chan) for chan in chans]
    assert sum(now["cancelled_timeout"] for now in stats) == 1
    assert not any(now["parked_senders"] + now["parked_receivers"] for now in stats)


def test_a_cancelled_select_did_nothing(subject: Subject) -> None:
    """Contract 4.7: one claim for all clauses."""
    (chooser, other), chans = subject.users(2), [RENDEZVOUS.make(subject) for _ in range(3)]
    parked = chooser.select([Arm(chans[0]), Arm(chans[1], b"x"), Arm(chans[2])])
    chooser.cancel(parked)
    assert parked.code == ECANCELED
    assert other.try_receive(chans[1]).code == EAGAIN
    assert other.try_send(chans[0], b"x").code == EAGAIN
    stats = [other.statistics(chan) for chan in chans]
    assert sum(now["cancelled_cancel"] for now in stats) == 1
    for now in stats:
        conserved(now)


def test_a_select_stands_in_line_like_a_plain_operation(subject: Subject) -> None:
    """Contract 4.4: FIFO holds between plain receives and selects on one channel."""
    users, chan, other = subject.users(4), RENDEZVOUS.make(subject), RENDEZVOUS.make(subject)
    first = users[0].receive(chan)
    second = users[1].select([Arm(other), Arm(chan)])
    third = users[2].receive(chan)
    for message in numbered(3):
        users[3].send(chan, message).ok()
    assert [first.data, second.data, third.data] == numbered(3)


# --- two selects, one channel twice, oneself ---


def test_two_selects_meet(subject: Subject) -> None:
    """Contract 4.6: a send clause and a receive clause of two users match."""
    (one, two), a, b = subject.users(2), RENDEZVOUS.make(subject), RENDEZVOUS.make(subject)
    sending = one.select([Arm(a, b"a"), Arm(b, b"b")])
    receiving = two.select([Arm(b)])
    assert sending.ok().index == 1
    assert (receiving.ok().index, receiving.data) == (0, b"b")


def test_a_select_never_meets_itself(subject: Subject) -> None:
    """Contract 4.6: a send and a receive on one channel in one select wait for somebody else."""
    (chooser, other), chan = subject.users(2), RENDEZVOUS.make(subject)
    parked = chooser.select([Arm(chan, b"mine"), Arm(chan)])
    assert parked.waiting
    assert other.receive(chan).data == b"mine"
    assert parked.ok().index == 0
    parked = chooser.select([Arm(chan, b"mine"), Arm(chan)])
    other.send(chan, b"yours").ok()
    assert (parked.ok().index, parked.data) == (1, b"yours")


def test_two_selects_that_both_send_and_receive_on_one_channel_meet_once(
    subject: Subject,
) -> None:
    """Contract 4.6, crossbeam's same_channel: one sends, the other receives, nothing is left."""
    (one, two), chan = subject.users(2), RENDEZVOUS.make(subject)
    first = one.select([Arm(chan, b"one"), Arm(chan)])
    second = two.select([Arm(chan, b"two"), Arm(chan)])
    indices = {first.ok().index, second.ok().index}
    assert indices == {0, 1}
    now = one.statistics(chan)
    assert (now["rv_matches"], now["total_sends"], now["total_recvs"]) == (1, 1, 1)
    assert (now["parked_senders"], now["parked_receivers"]) == (0, 0)


@of(BUFFERED)
def test_the_same_channel_may_stand_twice(subject: Subject, spec: Spec) -> None:
    """Contract 4.6: twice the same receive takes one message, twice the same send sends one."""
    user, chan = subject.user(), spec.make(subject)
    user.try_send(chan, b"only").ok()
    assert user.select([Arm(chan), Arm(chan)]).data == b"only"
    user.select([Arm(chan, b"x"), Arm(chan, b"y")]).ok()
    assert user.statistics(chan)["depth"] == 1
    assert drain(user, chan)[0] in (b"x", b"y")


def test_a_channel_that_stands_twice_is_left_twice(subject: Subject) -> None:
    """Contract 4.6: after a parked select no clause of it is left in that channel."""
    (chooser, other), chan = subject.users(2), RENDEZVOUS.make(subject)
    parked = chooser.select([Arm(chan), Arm(chan), Arm(chan)])
    other.send(chan, b"x").ok()
    assert parked.data == b"x"
    assert other.try_send(chan, b"nobody waits").code == EAGAIN
    assert other.statistics(chan)["parked_receivers"] == 0


# --- closed and destroyed ---


@of(EVERY)
def test_a_closed_clause_is_ready_and_says_which(subject: Subject, spec: Spec) -> None:
    """Contract 4.6: EPIPE with the index, of a receive and of a send."""
    user, quiet, closed = subject.user(), RENDEZVOUS.make(subject), spec.make(subject)
    user.close(closed)
    outcome = user.select([Arm(quiet), Arm(closed)]).now()
    assert (outcome.code, outcome.index) == (EPIPE, 1)
    outcome = user.select([Arm(closed, b"x"), Arm(quiet)]).now()
    assert (outcome.code, outcome.index) == (EPIPE, 0)


def test_closing_a_channel_ends_a_select_that_waits_to_receive(subject: Subject) -> None:
    """Contract 4.5, 4.6: as it ends a plain parked receive."""
    (chooser, other), a, b = subject.users(2), RENDEZVOUS.make(subject), RENDEZVOUS.make(subject)
    parked = chooser.select([Arm(a), Arm(b)])
    other.close(b)
    assert (parked.code, parked.now().index) == (EPIPE, 1)
    assert other.statistics(a)["parked_receivers"] == 0


def test_a_parked_send_clause_drains_after_close(subject: Subject) -> None:
    """Contract 4.5: a select parked to send before close is a parked sender."""
    (chooser, other), a, b = subject.users(2), RENDEZVOUS.make(subject), RENDEZVOUS.make(subject)
    parked = chooser.select([Arm(a, b"late"), Arm(b)])
    other.close(a)
    assert parked.waiting
    assert other.receive(a).data == b"late"
    assert parked.ok().index == 0
    assert other.receive(a).code == EPIPE


def test_destroying_a_channel_ends_a_select_on_it(subject: Subject) -> None:
    """Contract 4.5, 4.6: ECANCELED with the reason and the index."""
    (chooser, other), a, b = subject.users(2), RENDEZVOUS.make(subject), RENDEZVOUS.make(subject)
    parked = chooser.select([Arm(a), Arm(b, b"x")])
    other.destroy(b, "away")
    outcome = parked.now()
    assert (outcome.code, outcome.index, outcome.reason) == (ECANCELED, 1, "away")
    assert other.statistics(a)["parked_receivers"] == 0


# --- choice ---


def test_of_clauses_that_are_always_ready_each_wins_its_share(subject: Subject) -> None:
    """Contract 4.6, Go's TestSelectFairness: none starves; with four clauses and 100 rounds a
    quarter each or nearly so."""
    user, chans = subject.user(), [UNLIMITED.make(subject) for _ in range(4)]
    for chan in chans:
        for message in numbered(100):
            user.try_send(chan, message).ok()
    wins = Counter(user.select([Arm(chan) for chan in chans]).ok().index for _ in range(100))
    assert set(wins) == {0, 1, 2, 3}
    assert min(wins.values()) >= 10, wins


def test_of_many_clauses_the_few_that_are_ready_win_alike(subject: Subject) -> None:
    """Contract 4.6: the first of two that are ready has no more than the second, although a choice
    that goes on from where it begins would meet the first behind all that are not."""
    user, chans = subject.user(), [UNLIMITED.make(subject) for _ in range(8)]
    for chan in chans[2:4]:
        for message in numbered(100):
            user.try_send(chan, message).ok()
    wins = Counter(user.select([Arm(chan) for chan in chans]).ok().index for _ in range(100))
    assert set(wins) == {2, 3}
    assert min(wins.values()) >= 25, wins


def test_of_clauses_that_wait_at_one_channel_each_wins_its_share(subject: Subject) -> None:
    """Contract 4.6, Go's TestPseudoRandomSend: it is drawn for a select that parks, too; biased it
    is always the first."""
    (chooser, peer), chan = subject.users(2), RENDEZVOUS.make(subject)

    def winner(biased: bool) -> int:
        parked = chooser.select([Arm(chan, b"0"), Arm(chan, b"1"), Arm(chan, b"2")], biased=biased)
        assert parked.waiting
        data = peer.receive(chan).data
        assert data == str(parked.ok().index).encode()
        return parked.ok().index

    wins = Counter(winner(biased=False) for _ in range(100))
    assert set(wins) == {0, 1, 2}
    assert min(wins.values()) >= 10, wins
    assert {winner(biased=True) for _ in range(20)} == {0}


def test_biased_takes_the_first_that_is_ready_in_the_order_given(subject: Subject) -> None:
    """Contract 4.6: `biased` draws nothing."""
    user, empty, one, two = subject.user(), *(UNLIMITED.make(subject) for _ in range(3))
    for chan in (one, two):
        for message in numbered(20):
            user.try_send(chan, message).ok()
    arms = [Arm(empty), Arm(two), Arm(one)]
    assert [user.select(arms, biased=True).ok().index for _ in range(20)] == [1] * 20
    assert user.select(arms, biased=True).ok().index == 2


# --- size ---


def test_a_select_of_64_clauses_waits_on_all_of_them(subject: Subject) -> None:
    """Contract 4.6: the largest select; the last clause is as good as the first."""
    (sender, chooser), chans = subject.users(2), [RENDEZVOUS.make(subject) for _ in range(64)]
    for place in (0, 31, 63):
        parked = chooser.select([Arm(chan) for chan in chans])
        assert parked.waiting
        sender.send(chans[place], b"x").ok()
        assert parked.ok().index == place


def test_a_clause_on_an_unknown_channel_refuses_the_whole_select(subject: Subject) -> None:
    """Contract 4.6, 4.15: an error of one clause carries its index; nothing else happens."""
    user, chan = subject.user(), ONE_PLACE.make(subject)
    user.try_send(chan, b"stays").ok()
    unknown = 999_999_999
    outcome = user.select([Arm(unknown), Arm(chan)], biased=True).now()
    assert outcome.code < 0
    assert outcome.index == 0
    assert drain(user, chan) == [b"stays"]


@pytest.mark.parametrize("ack", [False, True])
def test_a_select_may_ask_to_acknowledge(subject: Subject, ack: bool) -> None:
    """Contract 4.9: the flag stands on the clause; the message stays held until ACK."""
    user, chan, other = subject.user(), ONE_PLACE.make(subject), RENDEZVOUS.make(subject)
    user.try_send(chan, b"job").ok()
    outcome = user.select([Arm(other), Arm(chan, ack=ack)]).ok()
    assert (outcome.index, outcome.data, bool(outcome.delivery)) == (1, b"job", ack)
    if ack:
        assert user.statistics(chan)["held"] == 1
        assert user.ack(outcome.delivery) == OK
    now = user.statistics(chan)
    assert (now["held"], now["total_recvs"], now["acks"]) == (0, 1, int(ack))


def test_an_acking_clause_on_a_conflated_channel_is_refused(subject: Subject) -> None:
    """Contract 4.9: any kind but conflated."""
    user, chan = subject.user(), CONFLATED.make(subject)
    user.try_send(chan, b"x").ok()
    assert user.select([Arm(chan, ack=True)]).code == EINVAL
    assert drain(user, chan) == [b"x"]


def test_a_dead_chooser_leaves_every_channel(subject: Subject) -> None:
    """Contract 4.7, 4.8: a select is one waiter, on however many channels."""
    (dead, alive), chans = subject.users(2), [RENDEZVOUS.make(subject) for _ in range(4)]
    dead.select([Arm(chan, b"x") if place % 2 else Arm(chan) for place, chan in enumerate(chans)])
    dead.die()
    for chan in chans:
        now = alive.statistics(chan)
        assert (now["parked_senders"], now["parked_receivers"]) == (0, 0)
    assert sum(alive.statistics(chan)["cancelled_dead"] for chan in chans) == 1
