"""Contract 4.19: a receiver that asks is told who sent a message, as the kernel named it."""

import pytest

from tests.conformance.cases import of
from tests.conformance.subject import (
    BLOCKING,
    BUFFERED,
    CONFLATED,
    UNLIMITED,
    Spec,
    Subject,
)

THREE = BUFFERED[2]
KEEPING = [THREE, UNLIMITED]
either_receive = pytest.mark.parametrize("ack", [False, True], ids=["plain", "ack"])


@of([*KEEPING, CONFLATED])
def test_who_asks_is_told_the_sender_of_what_waits(subject: Subject, spec: Spec) -> None:
    sender, receiver = subject.users(2)
    chan = spec.make(subject)
    sender.send(chan, b"x").ok()
    got = receiver.receive(chan, sender=True).ok()
    assert (got.data, got.sender, got.delivery) == (b"x", sender.identity, 0)
    assert receiver.statistics(chan)["total_recvs"] == 1


@of(KEEPING)
def test_who_holds_a_message_is_told_its_sender(subject: Subject, spec: Spec) -> None:
    sender, receiver = subject.users(2)
    chan = spec.make(subject)
    sender.send(chan, b"x").ok()
    held = receiver.receive(chan, ack=True, sender=True).ok()
    assert (held.data, held.sender) == (b"x", sender.identity)
    assert receiver.ack(held.delivery) == 0
    assert receiver.statistics(chan)["total_recvs"] == 1


@of(BLOCKING)
@either_receive
@pytest.mark.parametrize("first", ["send", "receive"])
def test_who_asks_is_told_the_sender_whoever_came_first(
    subject: Subject, spec: Spec, ack: bool, first: str
) -> None:
    sender, receiver = subject.users(2)
    chan = spec.make(subject)
    if first == "send":
        sender.send(chan, b"x")
        got = receiver.receive(chan, ack=ack, sender=True).ok()
    else:
        waiting = receiver.receive(chan, ack=ack, sender=True)
        sender.send(chan, b"x").ok()
        got = waiting.ok()
    assert (got.data, got.sender) == (b"x", sender.identity)
    if ack:
        assert receiver.ack(got.delivery) == 0


def test_each_message_has_its_own_sender(subject: Subject) -> None:
    users, receiver, chan = subject.users(3), subject.user(), UNLIMITED.make(subject)
    for user in (*users, *reversed(users)):
        user.send(chan, b"x").ok()
    got = [receiver.receive(chan, sender=True).ok().sender for _ in range(6)]
    assert got == [user.identity for user in (*users, *reversed(users))]


def test_who_does_not_ask_is_not_told(subject: Subject) -> None:
    sender, receiver = subject.users(2)
    chan = THREE.make(subject)
    for _ in range(2):
        sender.send(chan, b"x").ok()
    assert receiver.receive(chan).ok().sender is None
    held = receiver.receive(chan, ack=True).ok()
    assert held.sender is None
    assert receiver.ack(held.delivery) == 0


def test_a_message_keeps_its_sender_after_that_ones_end_and_in_every_delivery(
    subject: Subject,
) -> None:
    sender, receiver = subject.users(2)
    chan, identity = THREE.make(subject), sender.identity
    sender.send(chan, b"x").ok()
    sender.die()
    for attempt in range(3):
        held = receiver.receive(chan, ack=True, sender=True).ok()
        assert (held.sender, held.attempts) == (identity, attempt)
        assert receiver.nack(held.delivery) == 0
    assert receiver.receive(chan, sender=True).ok().sender == identity


def test_a_dead_letter_has_its_first_sender(subject: Subject) -> None:
    """Not the receiver that gave it up, and nobody in between."""
    sender, receiver = subject.users(2)
    letters = subject.dead_letter_channel()
    chan = THREE.make(subject, max_attempts=1, dead_letter=letters.option)
    sender.send(chan, b"x").ok()
    held = receiver.receive(chan, ack=True).ok()
    assert receiver.nack(held.delivery) == 0
    got = receiver.receive(letters.chan, sender=True).ok()
    assert (got.data, got.sender) == (b"x", sender.identity)
