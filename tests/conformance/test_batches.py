"""Batches: pipelines of single operations, with one deadline and one honest count."""

from tests.conformance.cases import conserved, drain, numbered, of
from tests.conformance.subject import (
    BLOCKING,
    BUFFERED,
    DROP_NEWEST,
    DROP_OLDEST,
    EAGAIN,
    ECANCELED,
    EINVAL,
    EPIPE,
    ETIME,
    OK,
    RENDEZVOUS,
    UNLIMITED,
    Spec,
)
from tests.conformance.wire_user import WireSubject


@of(BUFFERED)
def test_a_batch_that_tries_settles_what_fits(batch_subject: WireSubject, spec: Spec) -> None:
    """Contract 4.14: COUNT elements from the front are settled, RESULT is 0 as write(2) has it."""
    user, chan = batch_subject.user(), spec.make(batch_subject)
    outcome = user.send_many(chan, numbered(spec.capacity + 5), timeout_ms=0).ok()
    assert (outcome.count, outcome.dropped) == (spec.capacity, 0)
    assert user.send_many(chan, numbered(2), timeout_ms=0).code == EAGAIN
    assert drain(user, chan) == numbered(spec.capacity)


@of(BLOCKING)
def test_a_batch_waits_and_goes_on_element_by_element(
    batch_subject: WireSubject, spec: Spec
) -> None:
    """Contract 4.14: single operations in order; the answer comes when the last one is settled."""
    (sender, receiver), chan = batch_subject.users(2), spec.make(batch_subject)
    count = spec.capacity + 4
    parked = sender.send_many(chan, numbered(count))
    for place in range(4):
        assert parked.waiting
        assert receiver.receive(chan).data == b"%d" % place
    assert parked.ok().count == count
    assert drain(receiver, chan) == numbered(count - 4, 4)


@of(BLOCKING)
def test_a_cancelled_batch_says_how_many_were_settled(
    batch_subject: WireSubject, spec: Spec
) -> None:
    """Contract 4.14: with COUNT > 0 it succeeded that far; with 0 it is ECANCELED."""
    (sender, receiver), chan = batch_subject.users(2), spec.make(batch_subject)
    parked = sender.send_many(chan, numbered(spec.capacity + 3))
    assert receiver.receive(chan).data == b"0"
    sender.cancel(parked)
    assert parked.ok().count == spec.capacity + 1
    assert drain(receiver, chan) == numbered(spec.capacity, 1)
    for message in numbered(spec.capacity):
        sender.try_send(chan, message).ok()
    nothing = sender.send_many(chan, numbered(3))
    sender.cancel(nothing)
    assert nothing.code == ECANCELED
    conserved(receiver.statistics(chan))


@of(BLOCKING)
def test_one_deadline_counts_for_the_whole_batch(batch_subject: WireSubject, spec: Spec) -> None:
    """Contract 4.14, 4.1: it ends a batch that has settled something without an error."""
    (sender, receiver), chan = batch_subject.users(2), spec.make(batch_subject)
    parked = sender.send_many(chan, numbered(spec.capacity + 3), timeout_ms=50)
    if spec.capacity:
        assert parked.wait().count == spec.capacity
        assert parked.ok()
    else:
        assert parked.wait().code == ETIME
    assert drain(receiver, chan) == numbered(spec.capacity)


@of(BUFFERED)
def test_closing_a_channel_lets_the_parked_element_of_a_batch_drain_and_ends_it(
    batch_subject: WireSubject, spec: Spec
) -> None:
    """Contract 4.14, 4.5: the element that is parked was a parked sender; the next one is new."""
    (sender, receiver), chan = batch_subject.users(2), spec.make(batch_subject)
    parked = sender.send_many(chan, numbered(spec.capacity + 3))
    receiver.close(chan)
    assert drain(receiver, chan) == numbered(spec.capacity + 1)
    assert parked.ok().count == spec.capacity + 1
    assert receiver.receive(chan).code == EPIPE


@of(DROP_NEWEST)
def test_a_batch_tells_how_many_drop_newest_dropped(batch_subject: WireSubject, spec: Spec) -> None:
    """Contract 4.14: COUNT has them all, DROPPED how many of them were dropped."""
    user, chan = batch_subject.user(), spec.make(batch_subject)
    outcome = user.send_many(chan, numbered(10)).ok()
    assert (outcome.count, outcome.dropped) == (10, 10 - spec.capacity)


@of(DROP_OLDEST)
def test_a_batch_does_not_count_evicted_elements_as_its_own(
    batch_subject: WireSubject, spec: Spec
) -> None:
    """Contract 4.14: evicted older ones are counted on the channel only."""
    user, chan = batch_subject.user(), spec.make(batch_subject)
    outcome = user.send_many(chan, numbered(10)).ok()
    assert (outcome.count, outcome.dropped) == (10, 0)
    assert user.statistics(chan)["drops_oldest"] == 10 - spec.capacity
    assert drain(user, chan) == numbered(spec.capacity, 10 - spec.capacity)


@of([*BUFFERED, UNLIMITED])
def test_receive_many_takes_what_is_there(batch_subject: WireSubject, spec: Spec) -> None:
    """Contract 4.14: up to MAX_ITEMS, in order, without waiting for more."""
    user, chan = batch_subject.user(), spec.make(batch_subject)
    room = min(spec.room, 64)
    for message in numbered(room):
        user.try_send(chan, message).ok()
    first = user.receive_many(chan, 2).ok().items
    rest = user.receive_many(chan, 1024).ok().items if room > 2 else ()
    assert [*first, *rest] == numbered(room)
    assert len(first) == min(2, room)
    assert user.receive_many(chan, 5, timeout_ms=0).code == EAGAIN


@of(BLOCKING)
def test_receive_many_waits_for_the_first_and_returns_with_it(
    batch_subject: WireSubject, spec: Spec
) -> None:
    """Contract 4.14: one message ends the wait."""
    (sender, receiver), chan = batch_subject.users(2), spec.make(batch_subject)
    parked = receiver.receive_many(chan, 10)
    assert parked.waiting
    sender.send(chan, b"first").ok()
    assert parked.ok().items == (b"first",)


@of(BLOCKING)
def test_receive_many_takes_from_parked_senders_too(batch_subject: WireSubject, spec: Spec) -> None:
    """Contract 4.14, 4.4: buffered first, then those who wait, in their order."""
    users, chan = batch_subject.users(4), spec.make(batch_subject)
    for message in numbered(spec.capacity):
        users[0].try_send(chan, message).ok()
    parked = [
        user.send(chan, b"%d" % (spec.capacity + place)) for place, user in enumerate(users[:3])
    ]
    got = users[3].receive_many(chan, 1024).ok().items
    assert list(got) == numbered(spec.capacity + 3)
    assert [operation.code for operation in parked] == [OK] * 3


@of(BUFFERED)
def test_an_acked_batch_holds_every_item(batch_subject: WireSubject, spec: Spec) -> None:
    """Contract 4.14, 4.9: each has a delivery of its own; death puts all of them back in order."""
    (dead, alive), chan = batch_subject.users(2), spec.make(batch_subject)
    sent = numbered(spec.capacity)
    for message in sent:
        alive.try_send(chan, message).ok()
    assert list(dead.receive_many(chan, 1024, ack=True).ok().items) == sent
    assert alive.statistics(chan)["held"] == spec.capacity
    dead.die()
    got = alive.receive_many(chan, 1024, ack=True).ok()
    assert (list(got.items), got.attempts) == (sent, 1)


def test_a_batch_of_1024_elements_passes_whole(batch_subject: WireSubject) -> None:
    """Contract 4.14: the largest receive; several answers may be needed on a small MAX_FRAME."""
    user, chan = batch_subject.user(), UNLIMITED.make(batch_subject)
    sent = [b"%04d" % number * 40 for number in range(1024)]
    for start in range(0, 1024, 256):
        assert user.send_many(chan, sent[start : start + 256]).ok().count == 256
    got: list[bytes] = []
    while len(got) < 1024:
        got += user.receive_many(chan, 1024).ok().items
    assert got == sent


def test_a_batch_of_more_than_1024_items_is_refused(batch_subject: WireSubject) -> None:
    """PROTOCOL, commands: MAX_ITEMS is 1 to 1,024; the connection lives."""
    user, chan = batch_subject.user(), RENDEZVOUS.make(batch_subject)
    assert user.receive_many(chan, 1025).code == EINVAL
    assert user.try_receive(chan).code == EAGAIN


def test_batches_of_two_senders_may_mingle_but_each_keeps_its_order(
    batch_subject: WireSubject,
) -> None:
    """Contract 4.14: others may come between the elements of a batch."""
    (one, two, receiver), chan = batch_subject.users(3), BUFFERED[1].make(batch_subject)
    first = one.send_many(chan, [b"a%d" % number for number in range(10)])
    second = two.send_many(chan, [b"b%d" % number for number in range(10)])
    got: list[bytes] = []
    while len(got) < 20:
        got.append(receiver.receive(chan).data)
    assert [one for one in got if one[:1] == b"a"] == [b"a%d" % number for number in range(10)]
    assert [one for one in got if one[:1] == b"b"] == [b"b%d" % number for number in range(10)]
    assert (first.ok().count, second.ok().count) == (10, 10)
