"""Acknowledgement: held until ACK, back to its old place otherwise, and who hears of it."""

from tests.conformance.cases import conserved, drain, numbered, of
from tests.conformance.subject import (
    BUFFERED,
    EAGAIN,
    ECANCELED,
    EINPROGRESS,
    EINVAL,
    ENOENT,
    EPIPE,
    LOSSLESS,
    OK,
    RENDEZVOUS,
    UNLIMITED,
    Spec,
    Subject,
)

TWO = BUFFERED[1]


@of(LOSSLESS)
def test_a_message_is_held_until_it_is_acknowledged(subject: Subject, spec: Spec) -> None:
    """Contract 4.9, 4.17: depth counts it, `total_recvs` only after the ACK."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    parked = receiver.receive(chan, ack=True)
    sender.send(chan, b"job").ok()
    outcome = parked.ok()
    assert (outcome.data, outcome.attempts) == (b"job", 0)
    now = sender.statistics(chan)
    assert (now["held"], now["depth"], now["total_recvs"]) == (1, 1, 0)
    assert receiver.ack(outcome.delivery) == OK
    now = sender.statistics(chan)
    assert (now["held"], now["depth"], now["total_recvs"], now["acks"]) == (0, 0, 1, 1)
    conserved(now)


@of([*BUFFERED, UNLIMITED])
def test_nack_puts_it_back_in_its_old_place(subject: Subject, spec: Spec) -> None:
    """Contract 4.9: before what came later, flagged with the number of earlier deliveries."""
    user, chan = subject.user(), spec.make(subject)
    room = min(spec.room, 3)
    for message in numbered(room):
        user.try_send(chan, message).ok()
    first = user.try_receive(chan, ack=True).ok()
    assert first.data == b"0"
    assert user.nack(first.delivery) == OK
    again = user.try_receive(chan, ack=True).ok()
    assert (again.data, again.attempts) == (b"0", 1)
    assert again.delivery != first.delivery
    assert user.ack(again.delivery) == OK
    assert drain(user, chan) == numbered(room)[1:]
    now = user.statistics(chan)
    assert (now["nacks"], now["redelivered"], now["undelivered_requeued"]) == (1, 1, 1)


@of(LOSSLESS)
def test_a_message_that_came_back_goes_to_the_receiver_that_waits(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.9: at once, in the step of the NACK."""
    (sender, one, two), chan = subject.users(3), spec.make(subject)
    held = one.receive(chan, ack=True)
    sender.send(chan, b"job").ok()
    parked = two.receive(chan, ack=True)
    assert parked.waiting
    one.nack(held.ok().delivery)
    assert (parked.data, parked.ok().attempts) == (b"job", 1)


@of(LOSSLESS)
def test_a_dead_receiver_s_message_is_redelivered(subject: Subject, spec: Spec) -> None:
    """Contract 4.9, 4.11: at least once, and a repeated delivery is flagged."""
    (sender, dead, alive), chan = subject.users(3), spec.make(subject)
    held = dead.receive(chan, ack=True)
    sender.send(chan, b"job").ok()
    assert held.data == b"job"
    parked = alive.receive(chan, ack=True)
    assert parked.waiting
    dead.die()
    assert (parked.data, parked.ok().attempts) == (b"job", 1)
    assert alive.ack(parked.ok().delivery) == OK
    conserved(alive.statistics(chan))


@of(BUFFERED)
def test_a_message_that_came_back_does_not_count_against_the_capacity(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.10: the channel may hold more than its capacity by what came back, no sender is
    thrown out, and no new one is let in before there is room."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    for message in numbered(spec.capacity):
        sender.try_send(chan, message).ok()
    held = receiver.try_receive(chan, ack=True).ok()
    while sender.try_send(chan, b"more").code == OK:
        pass
    receiver.nack(held.delivery)
    assert sender.try_send(chan, b"full").code == EAGAIN
    assert receiver.try_receive(chan).data == b"0"
    assert len(drain(receiver, chan)) >= spec.capacity - 1


def test_an_ack_counts_once(subject: Subject) -> None:
    """Contract 4.9: the second ACK, and a NACK after it, find no such delivery."""
    user, chan = subject.user(), TWO.make(subject)
    user.try_send(chan, b"job").ok()
    delivery = user.try_receive(chan, ack=True).ok().delivery
    assert [user.ack(delivery), user.ack(delivery), user.nack(delivery)] == [OK, ENOENT, ENOENT]
    assert user.statistics(chan)["acks"] == 1


def test_a_late_ack_does_not_acknowledge_the_next_delivery(subject: Subject) -> None:
    """Contract 4.9: a delivery is one receive, not a message."""
    user, chan = subject.user(), TWO.make(subject)
    user.try_send(chan, b"job").ok()
    first = user.try_receive(chan, ack=True).ok().delivery
    user.nack(first)
    second = user.try_receive(chan, ack=True).ok().delivery
    assert user.ack(first) == ENOENT
    assert user.statistics(chan)["held"] == 1
    assert user.ack(second) == OK


def test_nobody_else_can_acknowledge(subject: Subject) -> None:
    """Contract 4.15, hostile list 12 and 13: a foreign or invented delivery is no delivery."""
    (sender, holder, thief), chan = subject.users(3), TWO.make(subject)
    sender.try_send(chan, b"job").ok()
    delivery = holder.try_receive(chan, ack=True).ok().delivery
    for guess in (delivery, delivery + 1, delivery ^ (1 << 32), delivery ^ (1 << 63), 1, 2**64 - 1):
        assert thief.ack(guess) == ENOENT
        assert thief.nack(guess) == ENOENT
    assert sender.statistics(chan)["held"] == 1
    assert holder.ack(delivery) == OK


def test_a_channel_may_demand_acknowledgement(subject: Subject) -> None:
    """Contract 4.9: a receive without it is EINVAL and takes nothing."""
    user, chan = subject.user(), TWO.make(subject, ack_required=True)
    user.try_send(chan, b"job").ok()
    assert user.try_receive(chan).code == EINVAL
    outcome = user.try_receive(chan, ack=True).ok()
    assert (outcome.data, outcome.attempts) == (b"job", 0)
    assert user.ack(outcome.delivery) == OK


def test_after_max_attempts_the_message_is_dropped_and_counted(subject: Subject) -> None:
    """Contract 4.9: without a dead letter it is dropped; the next message is not touched."""
    user, chan = subject.user(), TWO.make(subject, max_attempts=2)
    for message in (b"poison", b"good"):
        user.try_send(chan, message).ok()
    for attempts in range(2):
        outcome = user.try_receive(chan, ack=True).ok()
        assert (outcome.data, outcome.attempts) == (b"poison", attempts)
        user.nack(outcome.delivery)
    outcome = user.try_receive(chan, ack=True).ok()
    assert (outcome.data, outcome.attempts) == (b"good", 0)
    user.ack(outcome.delivery)
    now = user.statistics(chan)
    assert (now["undelivered_dropped"], now["total_recvs"], now["depth"]) == (1, 1, 0)
    conserved(now)


def test_after_max_attempts_the_message_goes_to_the_dead_letter_channel(
    subject: Subject,
) -> None:
    """Contract 4.9: moved once, whole, and counted on both channels."""
    user, dead = subject.user(), subject.dead_letter_channel()
    chan = TWO.make(subject, max_attempts=1, dead_letter=dead.option)
    user.try_send(chan, b"poison").ok()
    outcome = user.try_receive(chan, ack=True).ok()
    user.nack(outcome.delivery)
    assert user.try_receive(chan).code == EAGAIN
    now = user.statistics(chan)
    assert (now["undelivered_dead_lettered"], now["undelivered"], now["depth"]) == (1, 1, 0)
    conserved(now)
    assert user.statistics(dead.chan)["total_sends"] == 1
    assert drain(user, dead.chan) == [b"poison"]


# --- confirm ---


@of(LOSSLESS)
def test_a_confirmed_send_completes_with_the_ack(subject: Subject, spec: Spec) -> None:
    """Contract 4.9: accepted or matched is not enough; a NACK in between does not end it."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    sent = sender.send(chan, b"job", confirm=True)
    held = receiver.receive(chan, ack=True).ok()
    assert sent.waiting
    receiver.nack(held.delivery)
    assert sent.waiting
    held = receiver.receive(chan, ack=True).ok()
    receiver.ack(held.delivery)
    assert sent.code == OK


@of(LOSSLESS)
def test_a_plain_receive_confirms_too(subject: Subject, spec: Spec) -> None:
    """Contract 4.9: its DONE counts, unless the channel requires acks."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    sent = sender.send(chan, b"job", confirm=True)
    assert receiver.receive(chan).data == b"job"
    assert sent.code == OK


@of([*BUFFERED, UNLIMITED])
def test_a_wait_for_confirmation_that_ends_leaves_the_message(subject: Subject, spec: Spec) -> None:
    """Contract 4.9: timeout and cancel end only the wait (EINPROGRESS), the message goes on."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    late = sender.send(chan, b"one", timeout_ms=5, confirm=True)
    assert late.wait().code == EINPROGRESS
    assert drain(receiver, chan) == [b"one"]
    given_up = sender.send(chan, b"two", confirm=True)
    sender.cancel(given_up)
    assert given_up.code == EINPROGRESS
    now = receiver.statistics(chan)
    assert (now["unconfirmed"], now["cancelled_waiters"]) == (2, 0)
    assert drain(receiver, chan) == [b"two"]


def test_an_unmatched_confirmed_send_is_cancelled_like_any_other(subject: Subject) -> None:
    """Contract 4.9, 4.7: nobody took it, so nothing happened."""
    (sender, other), chan = subject.users(2), RENDEZVOUS.make(subject)
    sent = sender.send(chan, b"job", confirm=True)
    sender.cancel(sent)
    assert sent.code == ECANCELED
    assert other.try_receive(chan).code == EAGAIN


def test_a_confirmed_message_that_ends_otherwise_says_how(subject: Subject) -> None:
    """Contract 4.9: purged, destroyed: ECANCELED with that reason."""
    (sender, other), chan = subject.users(2), TWO.make(subject)
    purged = sender.send(chan, b"one", confirm=True)
    assert other.purge(chan) == 1
    assert purged.code == ECANCELED
    assert "purged" in purged.now().reason
    destroyed = sender.send(chan, b"two", confirm=True)
    other.destroy(chan, "house cleaning")
    assert destroyed.code == ECANCELED
    assert destroyed.now().reason


def test_the_end_of_a_closed_channel_waits_for_the_last_ack(subject: Subject) -> None:
    """Contract 4.5: READY, parked and HELD gone: then, and not before, receivers hear the end."""
    (sender, holder, other), chan = subject.users(3), TWO.make(subject)
    sender.try_send(chan, b"last").ok()
    sender.close(chan)
    held = holder.try_receive(chan, ack=True).ok()
    assert other.try_receive(chan).code == EAGAIN
    parked = other.receive(chan)
    holder.ack(held.delivery)
    assert parked.code == EPIPE
