"""Cancelling: it happened and says so, or nothing happened. Also the death of a user.

The ideas are those of Kotlin's cancellation tests and trio's test_channel.py (cancelled sends and
receives leave the channel unchanged); the code is our own.
"""

from tests.conformance.cases import conserved, drain, fill, numbered, of
from tests.conformance.subject import (
    BLOCKING,
    EAGAIN,
    ECANCELED,
    EVERY,
    OK,
    RENDEZVOUS,
    Spec,
    Subject,
)


@of(EVERY)
def test_a_cancelled_receive_takes_nothing(subject: Subject, spec: Spec) -> None:
    """Contract 4.7: the next message goes to the next receiver."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    parked = receiver.receive(chan)
    receiver.cancel(parked)
    assert parked.code == ECANCELED
    now = sender.statistics(chan)
    assert (now["parked_receivers"], now["cancelled_waiters"], now["cancelled_cancel"]) == (0, 1, 1)
    taken = receiver.receive(chan)
    sender.send(chan, b"x").ok()
    assert taken.data == b"x"
    conserved(sender.statistics(chan))


@of(BLOCKING)
def test_a_cancelled_send_was_not_sent(subject: Subject, spec: Spec) -> None:
    """Contract 4.7, 4.2: its message is the sender's and reaches nobody."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    messages = fill(sender, chan, spec)
    parked = sender.send(chan, b"cancelled")
    sender.cancel(parked)
    assert parked.code == ECANCELED
    assert drain(receiver, chan) == messages
    now = receiver.statistics(chan)
    assert (now["cancelled_cancel"], now["total_sends"]) == (1, len(messages))


@of(BLOCKING)
def test_cancelling_one_of_many_senders_keeps_the_order_of_the_others(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.4, 4.7: the first, a middle and the last may go; the rest stay in line."""
    users, chan = subject.users(6), spec.make(subject)
    messages = fill(users[0], chan, spec)
    parked = [user.send(chan, b"p%d" % place) for place, user in enumerate(users)]
    for place in (0, 3, 5):
        users[place].cancel(parked[place])
    assert [place for place, one in enumerate(parked) if one.waiting] == [1, 2, 4]
    assert drain(users[0], chan) == [*messages, b"p1", b"p2", b"p4"]


@of(EVERY)
def test_cancelling_one_of_many_receivers_keeps_the_order_of_the_others(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.4, 4.7: as for senders."""
    users, chan = subject.users(6), spec.make(subject)
    parked = [user.receive(chan) for user in users]
    for place in (0, 3, 5):
        users[place].cancel(parked[place])
    for message in numbered(3):
        users[0].send(chan, message).ok()
    assert [one.code for one in parked] == [ECANCELED, 0, 0, ECANCELED, 0, ECANCELED]
    assert [parked[place].data for place in (1, 2, 4)] == numbered(3)


@of(EVERY)
def test_a_cancel_that_comes_too_late_changes_nothing(subject: Subject, spec: Spec) -> None:
    """Contract 4.7: the receive had happened, and that is what it says; the message is not lost."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    parked = receiver.receive(chan)
    sender.send(chan, b"x").ok()
    receiver.cancel(parked)
    assert parked.data == b"x"
    assert sender.statistics(chan)["cancelled_waiters"] == 0


@of(BLOCKING)
def test_a_cancel_after_the_match_does_not_unsend(subject: Subject, spec: Spec) -> None:
    """Contract 4.7: the send had happened, and that is what it says."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    messages = fill(sender, chan, spec)
    parked = sender.send(chan, b"last")
    got = [receiver.receive(chan).data for _ in range(len(messages) + 1)]
    sender.cancel(parked)
    assert parked.code == OK
    assert got == [*messages, b"last"]


@of(EVERY)
def test_cancelling_twice_ends_once(subject: Subject, spec: Spec) -> None:
    """Contract 4.7: the second one finds nobody; `Operation.end` would assert a second answer."""
    (other, receiver), chan = subject.users(2), spec.make(subject)
    parked = receiver.receive(chan)
    receiver.cancel(parked)
    receiver.cancel(parked)
    assert parked.code == ECANCELED
    assert other.statistics(chan)["cancelled_waiters"] == 1


@of(EVERY)
def test_an_operation_with_a_deadline_can_be_cancelled_before_it(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.7: one claim; the deadline finds nobody, and the reason counts once."""
    (other, receiver), chan = subject.users(2), spec.make(subject)
    parked = receiver.receive(chan, timeout_ms=60_000)
    receiver.cancel(parked)
    assert parked.code == ECANCELED
    now = other.statistics(chan)
    assert (now["cancelled_cancel"], now["cancelled_timeout"]) == (1, 0)


@of(BLOCKING)
def test_a_place_freed_by_cancel_is_not_a_place_in_the_buffer(subject: Subject, spec: Spec) -> None:
    """Contract 4.3: a parked sender occupies no room, so cancelling it frees none."""
    (sender, other), chan = subject.users(2), spec.make(subject)
    fill(sender, chan, spec)
    parked = sender.send(chan, b"x")
    sender.cancel(parked)
    assert other.try_send(chan, b"y").code == EAGAIN


# --- death ---


@of(EVERY)
def test_a_dead_receiver_takes_nothing_with_it(subject: Subject, spec: Spec) -> None:
    """Contract 4.7, 4.16: its parked receive is cancelled; the message goes to the next."""
    (sender, dead, alive), chan = subject.users(3), spec.make(subject)
    dead.receive(chan)
    parked = alive.receive(chan)
    assert parked.waiting
    dead.die()
    assert sender.statistics(chan)["cancelled_dead"] == 1
    sender.send(chan, b"x").ok()
    assert parked.data == b"x"


@of(BLOCKING)
def test_a_dead_sender_s_parked_message_reaches_nobody(subject: Subject, spec: Spec) -> None:
    """Contract 4.7, 4.16: the send did not happen."""
    (dead, alive), chan = subject.users(2), spec.make(subject)
    messages = fill(alive, chan, spec)
    dead.send(chan, b"of the dead")
    assert alive.statistics(chan)["parked_senders"] == 1
    dead.die()
    now = alive.statistics(chan)
    assert (now["parked_senders"], now["cancelled_dead"]) == (0, 1)
    assert drain(alive, chan) == messages


@of([spec for spec in EVERY if spec.kind != "rendezvous"])
def test_what_a_dead_sender_had_sent_stays(subject: Subject, spec: Spec) -> None:
    """Contract 4.11, 4.5: accepted is accepted, and a death closes nothing."""
    (dead, alive), chan = subject.users(2), spec.make(subject)
    messages = fill(dead, chan, spec)
    dead.die()
    assert drain(alive, chan) == messages
    alive.try_send(chan, b"open still").ok()


def test_many_waiters_of_one_user_die_with_it(subject: Subject) -> None:
    """Contract 4.8: the scope owns them all, on any number of channels and on both sides."""
    (dead, alive), chans = subject.users(2), [RENDEZVOUS.make(subject) for _ in range(5)]
    for chan in chans:
        dead.receive(chan)
        dead.receive(chan, timeout_ms=60_000)
    sends = [RENDEZVOUS.make(subject) for _ in range(5)]
    for chan in sends:
        dead.send(chan, b"x")
    dead.die()
    for chan, count in [(chan, 2) for chan in chans] + [(chan, 1) for chan in sends]:
        now = alive.statistics(chan)
        assert (now["parked_receivers"], now["parked_senders"]) == (0, 0)
        assert now["cancelled_dead"] == count
        conserved(now)
