"""close and destroy: what still drains, who hears what, and in which step.

The ideas are those of Go's TestChan (close and range), crossbeam's disconnect tests, Kotlin's
close and cancel tests, and trio's test_channel.py; the code is our own.
"""

from tests.conformance.cases import conserved, drain, fill, numbered, of
from tests.conformance.subject import (
    BLOCKING,
    CONFLATED,
    ECANCELED,
    EPIPE,
    EVERY,
    LOSSLESS,
    OK,
    Spec,
    Subject,
)

# --- close ---


@of(EVERY)
def test_a_closed_channel_takes_no_new_sends(subject: Subject, spec: Spec) -> None:
    """Contract 4.5: EPIPE, also where a drop policy or a conflated value never waits."""
    (one, two), chan = subject.users(2), spec.make(subject)
    assert one.close(chan) == OK
    assert one.try_send(chan, b"x").code == EPIPE
    assert two.send(chan, b"x").code == EPIPE
    now = one.statistics(chan)
    assert (now["total_sends"], now["send_epipe"], now["depth"]) == (0, 2, 0)


@of(EVERY)
def test_receivers_of_a_closed_empty_channel_hear_the_end(subject: Subject, spec: Spec) -> None:
    """Contract 4.5, 4.2: EPIPE at once, for a try, for a wait and again and again."""
    user, chan = subject.user(), spec.make(subject)
    user.close(chan)
    for _ in range(3):
        assert user.try_receive(chan).code == EPIPE
        assert user.receive(chan).code == EPIPE
        assert user.receive(chan, timeout_ms=1).code == EPIPE


@of(EVERY)
def test_closing_twice_is_closing_once(subject: Subject, spec: Spec) -> None:
    """Contract 4.5: idempotent, by the same user and by another, and what waits is not touched."""
    (one, two), chan = subject.users(2), spec.make(subject)
    messages = fill(one, chan, spec)
    assert [one.close(chan), one.close(chan), two.close(chan)] == [OK, OK, OK]
    assert drain(two, chan) == messages


@of(EVERY)
def test_accepted_messages_drain_after_close(subject: Subject, spec: Spec) -> None:
    """Contract 4.5: all that was accepted comes in order, then the end."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    messages = fill(sender, chan, spec)
    sender.close(chan)
    assert drain(receiver, chan) == messages
    assert receiver.receive(chan).code == EPIPE


@of(BLOCKING)
def test_senders_already_parked_drain_after_close(subject: Subject, spec: Spec) -> None:
    """Contract 4.5: parked senders are not thrown out; their messages come in order and they are
    told of success."""
    users, chan = subject.users(3), spec.make(subject)
    messages = fill(users[0], chan, spec)
    parked = [user.send(chan, b"parked %d" % place) for place, user in enumerate(users)]
    users[2].close(chan)
    assert all(operation.waiting for operation in parked)
    assert users[2].try_send(chan, b"new").code == EPIPE
    assert drain(users[1], chan) == [*messages, b"parked 0", b"parked 1", b"parked 2"]
    assert [operation.code for operation in parked] == [OK, OK, OK]
    assert users[1].receive(chan).code == EPIPE


@of(EVERY)
def test_close_ends_parked_receivers(subject: Subject, spec: Spec) -> None:
    """Contract 4.5: all of them, in the step that closes an empty channel."""
    users, chan = subject.users(4), spec.make(subject)
    parked = [user.receive(chan) for user in users[:3]]
    users[3].close(chan)
    assert [operation.code for operation in parked] == [EPIPE] * 3
    now = users[3].statistics(chan)
    assert (now["parked_receivers"], now["closed_waiters"]) == (0, 3)
    conserved(now)


@of(BLOCKING)
def test_the_end_comes_in_the_step_that_takes_the_last_parked_sender(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.5: a receiver that comes while a parked sender is left does not hear the end."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    messages = fill(sender, chan, spec)
    parked = sender.send(chan, b"last")
    sender.close(chan)
    for message in [*messages, b"last"]:
        assert receiver.receive(chan).data == message
    parked.ok()
    assert receiver.receive(chan).code == EPIPE


@of(BLOCKING)
def test_cancelling_the_last_parked_sender_of_a_closed_channel_ends_it(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.5: nothing is left, so receivers hear the end, not silence."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    fill(sender, chan, spec)
    parked = sender.send(chan, b"never")
    sender.close(chan)
    sender.cancel(parked)
    assert parked.code == ECANCELED
    drain(receiver, chan)
    assert receiver.receive(chan).code == EPIPE


@of([spec for spec in EVERY if spec.kind != "conflated"])
def test_receivers_wait_while_a_held_message_may_come_back(subject: Subject, spec: Spec) -> None:
    """Contract 4.5: a message held by another receiver keeps a closed channel open for receivers;
    put back it is delivered, acknowledged it is the end."""
    (sender, holder, waiting), chan = subject.users(3), spec.make(subject)
    held = holder.receive(chan, ack=True)
    sender.send(chan, b"x").ok()
    sender.close(chan)
    parked = waiting.receive(chan, ack=True)
    assert parked.waiting
    assert holder.nack(held.ok().delivery) == OK
    assert parked.data == b"x"
    last = holder.receive(chan)
    assert last.waiting
    assert waiting.ack(parked.ok().delivery) == OK
    assert last.code == EPIPE


def test_a_conflated_value_survives_close(subject: Subject) -> None:
    """Contract 4.5, Kotlin's testConflationSendClose: the newest value, then the end."""
    user, chan = subject.user(), CONFLATED.make(subject)
    for message in numbered(5):
        user.send(chan, message).ok()
    user.close(chan)
    assert user.receive(chan).data == b"4"
    assert user.receive(chan).code == EPIPE


@of(LOSSLESS)
def test_a_receiver_that_ranges_sees_everything_and_stops(subject: Subject, spec: Spec) -> None:
    """Go's range over a channel: 50 messages, close, the loop ends by itself."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    sent = [sender.send(chan, message) for message in numbered(50)]
    sender.close(chan)
    got = []
    while (outcome := receiver.receive(chan).now()).code == OK:
        got.append(outcome.data)
    assert outcome.code == EPIPE
    assert got == numbered(50)
    assert all(operation.code == OK for operation in sent)


# --- destroy ---


@of(EVERY)
def test_destroy_ends_parked_receivers_with_its_reason(subject: Subject, spec: Spec) -> None:
    """Contract 4.5: ECANCELED with the reason, everybody, at once."""
    users, chan = subject.users(3), spec.make(subject)
    parked = [user.receive(chan) for user in users]
    assert users[0].destroy(chan, "moving house") == OK
    outcomes = [operation.now() for operation in parked]
    assert [outcome.code for outcome in outcomes] == [ECANCELED] * 3
    assert {outcome.reason for outcome in outcomes} == {"moving house"}


@of(BLOCKING)
def test_destroy_ends_parked_senders_and_their_messages_reach_nobody(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.5, 4.2: ECANCELED with the reason; the messages are still the senders'."""
    (sender, other), chan = subject.users(2), spec.make(subject)
    fill(sender, chan, spec)
    parked = [user.send(chan, b"x") for user in (sender, other)]
    other.destroy(chan, "no more")
    assert [operation.now().code for operation in parked] == [ECANCELED] * 2
    assert [operation.now().reason for operation in parked] == ["no more"] * 2


@of(EVERY)
def test_every_later_operation_on_a_destroyed_channel_hears_the_reason(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.5: old handles answer ECANCELED with the reason for as long as they live."""
    (one, two), chan = subject.users(2), spec.make(subject)
    fill(two, chan, spec)
    two.try_receive(chan).now()
    one.destroy(chan, "gone")
    for user in (one, two):
        for outcome in (
            user.try_send(chan, b"x").now(),
            user.send(chan, b"x", timeout_ms=1).now(),
            user.try_receive(chan).now(),
            user.receive(chan).now(),
        ):
            assert (outcome.code, outcome.reason) == (ECANCELED, "gone")


@of(EVERY)
def test_destroy_after_close_is_still_destroy(subject: Subject, spec: Spec) -> None:
    """Contract 4.5: the messages that would have drained are gone, and receivers hear why."""
    (one, two), chan = subject.users(2), spec.make(subject)
    fill(one, chan, spec)
    one.try_receive(chan).now()
    one.close(chan)
    two.use(chan) if hasattr(two, "use") else None
    one.destroy(chan, "enough")
    assert two.receive(chan).now()[:1] == (ECANCELED,)
    assert one.destroy(chan, "again") == OK
    assert two.receive(chan).now().reason == "enough"


@of([spec for spec in LOSSLESS if spec.kind != "rendezvous"])
def test_messages_of_a_destroyed_channel_are_counted_as_undelivered(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.10, 4.17: they are dropped, once, and the sum still holds."""
    (sender, other), chan = subject.users(2), spec.make(subject)
    count = len(fill(sender, chan, spec))
    other.statistics(chan)
    sender.destroy(chan)
    now = other.statistics(chan)
    assert (now["depth"], now["undelivered"], now["undelivered_dropped"]) == (0, count, count)
    conserved(now)


@of([spec for spec in EVERY if spec.kind != "conflated"])
def test_a_held_message_may_be_acknowledged_after_destroy(subject: Subject, spec: Spec) -> None:
    """Contract 4.5: the receiver's work was not in vain."""
    (sender, holder), chan = subject.users(2), spec.make(subject)
    held = holder.receive(chan, ack=True)
    sender.send(chan, b"work").ok()
    delivery = held.ok().delivery
    sender.destroy(chan, "gone")
    assert holder.ack(delivery) == OK
    now = holder.statistics(chan)
    assert (now["acks"], now["total_recvs"], now["undelivered"]) == (1, 1, 0)
    conserved(now)


@of([spec for spec in EVERY if spec.kind != "conflated"])
def test_a_held_message_of_a_destroyed_channel_never_comes_back(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.10: put back it is dropped, because there is nowhere to come back to."""
    (sender, holder), chan = subject.users(2), spec.make(subject)
    held = holder.receive(chan, ack=True)
    sender.send(chan, b"work").ok()
    delivery = held.ok().delivery
    sender.destroy(chan, "gone")
    assert holder.nack(delivery) == OK
    now = holder.statistics(chan)
    assert (now["depth"], now["undelivered_dropped"]) == (0, 1)
    conserved(now)
