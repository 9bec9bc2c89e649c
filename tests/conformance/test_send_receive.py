"""Sending and receiving on every kind and room: order, exact capacity, waiting, fairness.

The ideas are those of Go's chan_test.go, crossbeam's zero.rs, array.rs and list.rs, and Kotlin's
RendezvousChannelTest and BufferedChannelTest; the code is our own.
"""

from tests.conformance.cases import numbered, of
from tests.conformance.subject import (
    BLOCKING,
    EAGAIN,
    ETIME,
    EVERY,
    LOSSLESS,
    RENDEZVOUS,
    Spec,
    Subject,
)

# --- capacity ---


@of(BLOCKING)
def test_exactly_capacity_messages_are_accepted_without_a_receiver(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.3: buffered n holds exactly n, never rounded; rendezvous holds nothing."""
    user, chan = subject.user(), spec.make(subject)
    for message in numbered(spec.capacity):
        user.try_send(chan, message).ok()
    assert user.try_send(chan, b"one too many").code == EAGAIN
    assert user.statistics(chan)["depth"] == spec.capacity
    assert [user.try_receive(chan).data for _ in range(spec.capacity)] == numbered(spec.capacity)
    assert user.try_receive(chan).code == EAGAIN


@of(EVERY)
def test_receive_from_an_empty_channel_would_block(subject: Subject, spec: Spec) -> None:
    """Contract 4.1: a try that cannot succeed answers EAGAIN and changes nothing."""
    user, chan = subject.user(), spec.make(subject)
    assert user.try_receive(chan).code == EAGAIN
    now = user.statistics(chan)
    assert (now["recv_eagain"], now["total_recvs"], now["parked_receivers"]) == (1, 0, 0)


@of(LOSSLESS)
def test_a_channel_may_be_filled_and_emptied_again_and_again(subject: Subject, spec: Spec) -> None:
    """Contract 4.3: indices wrap, capacity does not drift (crossbeam array: len, wrap-around)."""
    user, chan = subject.user(), spec.make(subject)
    room = min(spec.room, 7)
    for lap in range(9):
        for message in numbered(room, 10 * lap):
            user.try_send(chan, message).ok()
        got = [user.try_receive(chan).data for _ in range(room)]
        assert got == numbered(room, 10 * lap)
    assert user.statistics(chan)["depth"] == 0


# --- order ---


@of(LOSSLESS)
def test_messages_of_one_sender_arrive_in_order(subject: Subject, spec: Spec) -> None:
    """Contract 4.4: FIFO, with receivers parked before, during and after the sends."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    early = [receiver.receive(chan) for _ in range(3)]
    sent = [sender.send(chan, message) for message in numbered(12)]
    late = [receiver.receive(chan) for _ in range(9)]
    assert [operation.data for operation in early + late] == numbered(12)
    assert all(operation.now().code == 0 for operation in sent)


@of(BLOCKING)
def test_parked_senders_are_served_first_come_first_served(subject: Subject, spec: Spec) -> None:
    """Contract 4.4: FIFO on the sending side, and one receive lets exactly one sender in."""
    users, chan = subject.users(4), spec.make(subject)
    for message in numbered(spec.capacity):
        users[0].try_send(chan, message).ok()
    parked = [user.send(chan, b"%d" % (spec.capacity + place)) for place, user in enumerate(users)]
    assert users[0].statistics(chan)["parked_senders"] == 4
    for place, operation in enumerate(parked):
        assert operation.waiting
        assert users[0].try_receive(chan).data == b"%d" % place
        operation.ok()
        assert users[0].statistics(chan)["parked_senders"] == 3 - place
    rest = [users[0].try_receive(chan).data for _ in range(spec.capacity)]
    assert rest == numbered(spec.capacity, 4)


@of(EVERY)
def test_parked_receivers_are_served_first_come_first_served(subject: Subject, spec: Spec) -> None:
    """Contract 4.4: FIFO on the receiving side, whatever the kind."""
    users, chan = subject.users(5), spec.make(subject)
    sender, receivers = users[0], users[1:]
    parked = [receiver.receive(chan) for receiver in receivers]
    for place, operation in enumerate(parked):
        assert operation.waiting
        sender.try_send(chan, b"%d" % place).ok()
        assert operation.data == b"%d" % place
    assert sender.statistics(chan)["depth"] == 0


@of(BLOCKING)
def test_nobody_overtakes_a_parked_sender(subject: Subject, spec: Spec) -> None:
    """Contract 4.4: no barging. A place that falls free belongs to who waits for it."""
    (first, second), chan = subject.users(2), spec.make(subject)
    for message in numbered(spec.capacity):
        first.try_send(chan, message).ok()
    parked = first.send(chan, b"parked")
    assert second.try_send(chan, b"barging").code == EAGAIN
    got = [second.try_receive(chan).data]
    parked.ok()
    if spec.capacity:
        assert second.try_send(chan, b"barging").code == EAGAIN
    got += [second.try_receive(chan).data for _ in range(spec.capacity)]
    assert got == [*numbered(spec.capacity), b"parked"]


@of(EVERY)
def test_nobody_overtakes_a_parked_receiver(subject: Subject, spec: Spec) -> None:
    """Contract 4.4: the message goes to the receiver that waits, not to the next who asks."""
    (sender, waiting, barging), chan = subject.users(3), spec.make(subject)
    parked = waiting.receive(chan)
    sender.try_send(chan, b"mine").ok()
    assert barging.try_receive(chan).code == EAGAIN
    assert parked.data == b"mine"


# --- waiting ---


@of(BLOCKING)
def test_a_send_to_a_full_channel_waits_for_a_receiver(subject: Subject, spec: Spec) -> None:
    """Contract 4.4, 4.12: the sender waits; statistics show it parked, and it is let in."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    for message in numbered(spec.capacity):
        sender.try_send(chan, message).ok()
    parked = sender.send(chan, b"last")
    assert parked.waiting
    assert receiver.statistics(chan)["parked_senders"] == 1
    got = [receiver.try_receive(chan).data for _ in range(spec.capacity + 1)]
    parked.ok()
    assert got == [*numbered(spec.capacity), b"last"]
    assert receiver.statistics(chan)["matched_waiters"] == 1


@of(EVERY)
def test_a_receive_waits_for_a_sender(subject: Subject, spec: Spec) -> None:
    """Contract 4.4: a parked receiver gets the message itself; it never rests in the channel."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    parked = receiver.receive(chan)
    assert parked.waiting
    assert sender.statistics(chan)["parked_receivers"] == 1
    sender.send(chan, b"direct").ok()
    assert parked.data == b"direct"
    now = sender.statistics(chan)
    assert (now["depth"], now["parked_receivers"], now["matched_waiters"]) == (0, 0, 1)


def test_rendezvous_send_completes_only_with_its_receiver(subject: Subject) -> None:
    """Contract 4.4: a second send does not complete because a first one was received."""
    (first, second, receiver), chan = subject.users(3), RENDEZVOUS.make(subject)
    one, two = first.send(chan, b"one"), second.send(chan, b"two")
    assert receiver.try_receive(chan).data == b"one"
    one.ok()
    assert two.waiting
    assert receiver.try_receive(chan).data == b"two"
    two.ok()


@of(BLOCKING)
def test_a_send_that_times_out_was_not_sent(subject: Subject, spec: Spec) -> None:
    """Contract 4.1, 4.2: ETIME, and after a failure the message is still the sender's alone."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    for message in numbered(spec.capacity):
        sender.try_send(chan, message).ok()
    assert sender.send(chan, b"late", timeout_ms=5).wait().code == ETIME
    got = [receiver.try_receive(chan).data for _ in range(spec.capacity)]
    assert got == numbered(spec.capacity)
    assert receiver.try_receive(chan).code == EAGAIN
    now = receiver.statistics(chan)
    assert (now["cancelled_timeout"], now["send_etime"], now["total_sends"]) == (
        1,
        1,
        spec.capacity,
    )


@of(EVERY)
def test_a_receive_that_times_out_takes_nothing(subject: Subject, spec: Spec) -> None:
    """Contract 4.1, 4.2: ETIME, and the next message waits for the next receiver."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    assert receiver.receive(chan, timeout_ms=5).wait().code == ETIME
    taken = receiver.receive(chan)
    sender.send(chan, b"x").ok()
    assert taken.data == b"x"
    now = sender.statistics(chan)
    assert (now["cancelled_timeout"], now["recv_etime"], now["total_recvs"]) == (1, 1, 1)


@of(LOSSLESS)
def test_a_timeout_that_is_not_needed_changes_nothing(subject: Subject, spec: Spec) -> None:
    """Contract 4.2: completion beats the timeout."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    parked = receiver.receive(chan, timeout_ms=60_000)
    sender.send(chan, b"in time", timeout_ms=60_000).ok()
    assert parked.data == b"in time"
    assert sender.statistics(chan)["cancelled_waiters"] == 0


@of(BLOCKING)
def test_deadlines_end_waiters_in_the_order_of_time_not_of_arrival(
    subject: Subject, spec: Spec
) -> None:
    """Contract 4.1: each waiter has its own deadline; an earlier one does not wait for a later."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    patient = receiver.receive(chan, timeout_ms=60_000)
    hasty = receiver.receive(chan, timeout_ms=5)
    assert hasty.wait().code == ETIME
    assert patient.waiting
    sender.send(chan, b"x").ok()
    assert patient.data == b"x"


# --- what is carried ---


@of(EVERY)
def test_a_message_of_any_length_arrives_whole(subject: Subject, spec: Spec) -> None:
    """Contract 4.13: 0 to elem_size bytes; lengths round the wire's and the blocks' borders."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    sizes = (0, 1, 255, 4096, 65_534, 65_535, 65_536, 65_537, 100_000)
    for size in [size for size in sizes if size <= subject.most_bytes]:
        body = (bytes(range(256)) * (size // 256 + 1))[:size]
        parked = receiver.receive(chan)
        sender.send(chan, body).ok()
        assert parked.data == body


@of([spec for spec in EVERY if spec.kind != "rendezvous"])
def test_an_empty_message_waits_in_the_channel_like_any_other(subject: Subject, spec: Spec) -> None:
    """Contract 4.13, 4.3: it takes a place and is received as b""."""
    user, chan = subject.user(), spec.make(subject)
    user.try_send(chan, b"").ok()
    assert user.statistics(chan)["depth"] == 1
    assert user.try_receive(chan).data == b""


@of(LOSSLESS)
def test_channels_do_not_mix(subject: Subject, spec: Spec) -> None:
    """Two channels of one kind are two: a receiver of one never sees the other's message."""
    (sender, receiver), one, two = subject.users(2), spec.make(subject), spec.make(subject)
    from_one, from_two = receiver.receive(one), receiver.receive(two)
    sender.send(two, b"two").ok()
    assert from_two.data == b"two"
    assert from_one.waiting
    sender.send(one, b"one").ok()
    assert from_one.data == b"one"


@of(LOSSLESS)
def test_one_user_may_be_on_both_sides(subject: Subject, spec: Spec) -> None:
    """Operations of one user are separate: a user may answer itself."""
    user, chan = subject.user(), spec.make(subject)
    parked = user.receive(chan)
    user.send(chan, b"to myself").ok()
    assert parked.data == b"to myself"
    waiting = user.send(chan, b"again")
    assert user.receive(chan).data == b"again"
    waiting.ok()
