"""Contract 4.18: a message has an end, by its send or by its channel; the soonest counts.

A case waits with a receive that times out later: deadlines come in their order, on every subject.
"""

import pytest

from tests.conformance.cases import conserved, drain, of
from tests.conformance.subject import (
    BUFFERED,
    CONFLATED,
    EAGAIN,
    ECANCELED,
    ETIME,
    RENDEZVOUS,
    UNLIMITED,
    Outcome,
    Spec,
    Subject,
    User,
)

SOON_MS, LATER_MS, LONG_MS = 20, 60, 600_000
THREE = BUFFERED[2]
KEEPING = [THREE, UNLIMITED, CONFLATED]  # kinds in which a message waits without a receiver


def later(subject: Subject) -> None:
    """Whatever was to end SOON has ended."""
    user, nowhere = subject.user(), RENDEZVOUS.make(subject)
    assert user.receive(nowhere, LATER_MS).wait().code == ETIME


def held_at_once(user: User, chan: int) -> Outcome:
    """A message with little time, which its receiver waited for: it never lay in the channel."""
    receiving = user.receive(chan, ack=True)
    user.send(chan, b"x", ttl_ms=SOON_MS).ok()
    return receiving.ok()


def expired(user: User, chan: int, count: int) -> None:
    """So many, each counted once, and all of them dropped."""
    now = user.statistics(chan)
    assert (now["expired"], now["undelivered"], now["undelivered_dropped"]) == (count,) * 3
    conserved(now)


@of(KEEPING)
@pytest.mark.parametrize(
    ("channel_ms", "message_ms"),
    [(0, SOON_MS), (SOON_MS, 0), (SOON_MS, LONG_MS), (LONG_MS, SOON_MS)],
)
def test_a_message_that_waits_beyond_its_time_is_gone(
    subject: Subject, spec: Spec, channel_ms: int, message_ms: int
) -> None:
    user, chan = subject.user(), spec.make(subject, ttl_ms=channel_ms)
    user.send(chan, b"x", ttl_ms=message_ms).ok()
    later(subject)
    assert user.try_receive(chan).code == EAGAIN
    expired(user, chan, 1)
    assert user.statistics(chan)["depth"] == 0


@of(KEEPING)
def test_a_message_taken_in_its_time_does_not_expire(subject: Subject, spec: Spec) -> None:
    user, chan = subject.user(), spec.make(subject, ttl_ms=LONG_MS)
    user.send(chan, b"x", ttl_ms=LONG_MS).ok()
    later(subject)
    assert user.try_receive(chan).data == b"x"
    expired(user, chan, 0)


def test_those_that_have_time_stay_in_their_order(subject: Subject) -> None:
    user, chan = subject.user(), UNLIMITED.make(subject)
    for number in range(6):
        user.send(chan, b"%d" % number, ttl_ms=SOON_MS if number % 2 else LONG_MS).ok()
    later(subject)
    assert drain(user, chan) == [b"0", b"2", b"4"]
    expired(user, chan, 3)


@of([RENDEZVOUS, BUFFERED[0]])
def test_a_send_that_was_not_accepted_in_its_time_ends_and_was_not_sent(
    subject: Subject, spec: Spec
) -> None:
    """It asked to wait for ever; nothing of it is in the channel, and it is no expired message."""
    user, chan = subject.user(), spec.make(subject)
    for number in range(spec.room):
        user.send(chan, b"%d" % number).ok()
    waiting = user.send(chan, b"late", ttl_ms=SOON_MS)
    assert waiting.wait().code == ETIME
    assert user.statistics(chan)["total_sends"] == spec.room
    assert drain(user, chan) == [b"%d" % number for number in range(spec.room)]
    expired(user, chan, 0)


def test_room_that_an_expired_message_leaves_goes_to_who_waits_for_it(subject: Subject) -> None:
    user, chan = subject.user(), BUFFERED[0].make(subject)
    user.send(chan, b"first", ttl_ms=SOON_MS).ok()
    waiting = user.send(chan, b"second")
    later(subject)
    waiting.ok()
    assert drain(user, chan) == [b"second"]
    expired(user, chan, 1)


def test_who_holds_a_message_keeps_it_beyond_its_time(subject: Subject) -> None:
    user, chan = subject.user(), THREE.make(subject)
    held = held_at_once(user, chan)
    later(subject)
    assert user.statistics(chan)["held"] == 1
    assert user.ack(held.delivery) == 0
    expired(user, chan, 0)
    assert user.statistics(chan)["total_recvs"] == 1


def test_what_is_given_back_after_its_time_goes_to_nobody(subject: Subject) -> None:
    user, chan = subject.user(), THREE.make(subject)
    held = held_at_once(user, chan)
    later(subject)
    waiting = user.receive(chan)
    assert user.nack(held.delivery) == 0
    assert waiting.waiting
    user.cancel(waiting)
    expired(user, chan, 1)


def test_what_comes_back_in_time_has_no_second_life(subject: Subject) -> None:
    user, chan = subject.user(), THREE.make(subject)
    held = held_at_once(user, chan)
    assert user.nack(held.delivery) == 0
    later(subject)
    assert user.try_receive(chan).code == EAGAIN
    expired(user, chan, 1)


def test_an_expired_message_is_a_dead_letter_where_that_is_the_policy(subject: Subject) -> None:
    """There it waits as its new channel says: for ever."""
    user, letters = subject.user(), subject.dead_letter_channel()
    chan = THREE.make(subject, undelivered="dead_letter", dead_letter=letters.option)
    user.send(chan, b"x", ttl_ms=SOON_MS).ok()
    later(subject)
    now = user.statistics(chan)
    assert (now["expired"], now["undelivered_dead_lettered"]) == (1, 1)
    conserved(now)
    later(subject)
    assert user.try_receive(letters.chan).data == b"x"


def test_who_waits_for_an_acknowledgement_hears_that_the_message_expired(subject: Subject) -> None:
    user, chan = subject.user(), THREE.make(subject)
    waiting = user.send(chan, b"x", confirm=True, ttl_ms=SOON_MS)
    later(subject)
    outcome = waiting.now()
    assert (outcome.code, outcome.reason) == (ECANCELED, "expired")
    expired(user, chan, 1)


def test_a_time_to_live_does_not_end_the_wait_for_the_acknowledgement_of_what_was_taken(
    subject: Subject,
) -> None:
    sender, receiver = subject.users(2)
    chan = THREE.make(subject)
    receiving = receiver.receive(chan, ack=True)
    waiting = sender.send(chan, b"x", confirm=True, ttl_ms=SOON_MS)
    held = receiving.ok()
    later(subject)
    assert waiting.waiting
    assert receiver.ack(held.delivery) == 0
    waiting.ok()
