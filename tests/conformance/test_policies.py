"""Kinds that do not make a sender wait, and limits that do: conflated, unlimited, drop policies.

The ideas are those of Kotlin's ConflatedBufferedChannelTest, UnlimitedChannelTest and
onUndeliveredElement tests, and crossbeam's list.rs; the code is our own.
"""

import pytest

from kcoro_ipc.errors import InvalidArgument
from tests.conformance.cases import conserved, drain, numbered, of
from tests.conformance.subject import (
    CONFLATED,
    DROP_NEWEST,
    DROP_OLDEST,
    EAGAIN,
    EINVAL,
    EMSGSIZE,
    EPIPE,
    OK,
    RENDEZVOUS,
    UNLIMITED,
    Spec,
    Subject,
)

# --- conflated ---


def test_the_newest_value_replaces_the_one_that_waits(subject: Subject) -> None:
    """Contract 4.3: a send never waits; who comes late sees the newest only, once."""
    (sender, receiver), chan = subject.users(2), CONFLATED.make(subject)
    for message in numbered(5):
        sender.send(chan, message).ok()
    now = receiver.statistics(chan)
    assert (now["depth"], now["drops_oldest"], now["total_sends"]) == (1, 4, 5)
    assert receiver.receive(chan).data == b"4"
    assert receiver.try_receive(chan).code == EAGAIN
    conserved(receiver.statistics(chan))


def test_conflation_does_not_replace_what_a_receiver_was_given(subject: Subject) -> None:
    """Contract 4.3: two receivers that wait get the first and the second value."""
    users, chan = subject.users(3), CONFLATED.make(subject)
    first, second = users[0].receive(chan), users[1].receive(chan)
    users[2].send(chan, b"one").ok()
    users[2].send(chan, b"two").ok()
    assert (first.data, second.data) == (b"one", b"two")
    assert users[2].statistics(chan)["drops_oldest"] == 0


def test_a_conflated_channel_refuses_acknowledgement(subject: Subject) -> None:
    """Contract 4.9: neither a receive with ack nor a send that waits for one."""
    user, chan = subject.user(), CONFLATED.make(subject)
    assert user.try_send(chan, b"x").ok()
    assert user.receive(chan, ack=True).code == EINVAL
    assert user.send(chan, b"y", confirm=True).code == EINVAL
    assert drain(user, chan) == [b"x"]


# --- unlimited ---


def test_unlimited_accepts_without_a_receiver(subject: Subject) -> None:
    """Contract 4.3: 2,000 messages wait and come in order (crossbeam's list)."""
    user, chan = subject.user(), UNLIMITED.make(subject)
    sent = numbered(2_000)
    for message in sent:
        user.try_send(chan, message).ok()
    assert user.statistics(chan)["depth"] == 2_000
    assert drain(user, chan) == sent


def test_a_channel_at_its_byte_limit_is_full(subject: Subject) -> None:
    """Contract 4.12: the channel's own byte limit counts as full: senders wait."""
    (sender, receiver), chan = subject.users(2), UNLIMITED.make(subject, max_bytes=100_000)
    count = 0
    while sender.try_send(chan, b"x" * 10_000).code == OK:
        count += 1
    assert count == 10
    parked = sender.send(chan, b"y" * 10_000)
    assert parked.waiting
    assert receiver.try_receive(chan).data == b"x" * 10_000
    parked.ok()
    assert sum(map(len, drain(receiver, chan))) == 100_000


def test_a_message_over_the_byte_limit_still_fits_an_empty_channel_or_never(
    subject: Subject,
) -> None:
    """Contract 4.12: it must not wait for ever in silence: accepted alone, or refused."""
    user, chan = subject.user(), UNLIMITED.make(subject, max_bytes=1000)
    operation = user.send(chan, b"x" * 2000, timeout_ms=0)
    if operation.code == OK:
        assert drain(user, chan) == [b"x" * 2000]
    else:
        assert operation.code in (EMSGSIZE, EAGAIN)


# --- drop policies ---


@of(DROP_NEWEST)
def test_drop_newest_keeps_what_was_there(subject: Subject, spec: Spec) -> None:
    """Contract 4.3: the send succeeds and says DROPPED; counted as sent and as dropped."""
    user, chan = subject.user(), spec.make(subject)
    said = [user.send(chan, message).ok().dropped for message in numbered(spec.capacity + 3)]
    assert said == [0] * spec.capacity + [1] * 3
    now = user.statistics(chan)
    assert (now["drops_newest"], now["total_sends"]) == (3, spec.capacity + 3)
    assert drain(user, chan) == numbered(spec.capacity)


@of(DROP_OLDEST)
def test_drop_oldest_keeps_the_newest(subject: Subject, spec: Spec) -> None:
    """Contract 4.3: the send succeeds without DROPPED; the channel counts the evicted."""
    user, chan = subject.user(), spec.make(subject)
    said = [user.send(chan, message).ok().dropped for message in numbered(spec.capacity + 3)]
    assert said == [0] * (spec.capacity + 3)
    now = user.statistics(chan)
    assert (now["drops_oldest"], now["undelivered"], now["depth"]) == (3, 0, spec.capacity)
    assert drain(user, chan) == numbered(spec.capacity, 3)


@of([*DROP_NEWEST, *DROP_OLDEST])
def test_a_drop_policy_drops_nothing_while_receivers_wait(subject: Subject, spec: Spec) -> None:
    """Contract 4.3: a waiting receiver is room."""
    (sender, receiver), chan = subject.users(2), spec.make(subject)
    parked = [receiver.receive(chan) for _ in range(spec.capacity + 2)]
    for message in numbered(spec.capacity + 2):
        assert sender.send(chan, message).ok().dropped == 0
    assert [operation.data for operation in parked] == numbered(spec.capacity + 2)
    now = sender.statistics(chan)
    assert (now["drops_newest"], now["drops_oldest"]) == (0, 0)


@of([*DROP_NEWEST, *DROP_OLDEST])
def test_a_send_under_a_drop_policy_never_waits(subject: Subject, spec: Spec) -> None:
    """Contract 4.3: not even without a timeout."""
    user, chan = subject.user(), spec.make(subject)
    for message in numbered(20):
        user.send(chan, message).ok()
    now = user.statistics(chan)
    assert (now["parked_senders"], now["depth"]) == (0, spec.capacity)
    conserved(now)


@pytest.mark.parametrize("kind", ["rendezvous", "conflated", "unlimited"])
@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
def test_a_drop_policy_is_for_buffered_channels_only(
    subject: Subject, kind: str, overflow: str
) -> None:
    """Contract 4.3: EINVAL, and no channel is made."""
    with pytest.raises(InvalidArgument):
        subject.channel(kind, 0, overflow)


def test_a_buffered_channel_has_at_least_one_place(subject: Subject) -> None:
    """Contract 4.3, PROTOCOL: buffered with CAPACITY 0 is EINVAL; 2^20 is the largest."""
    for capacity in (0, (1 << 20) + 1):
        with pytest.raises(InvalidArgument):
            subject.channel("buffered", capacity)
    user, chan = subject.user(), subject.channel("buffered", 1 << 20)
    assert user.statistics(chan)["capacity"] == 1 << 20


# --- length and purge ---


def test_an_element_longer_than_elem_size_is_refused_and_the_user_lives(
    subject: Subject,
) -> None:
    """Contract 4.13: EMSGSIZE; exactly elem_size fits."""
    user, chan = subject.user(), UNLIMITED.make(subject, elem_size=100)
    assert user.try_send(chan, b"x" * 101).code == EMSGSIZE
    user.try_send(chan, b"x" * 100).ok()
    assert drain(user, chan) == [b"x" * 100]


def test_purge_drops_what_waits_and_counts_it(subject: Subject) -> None:
    """Contract 4.17: purged messages count as dropped; the channel goes on."""
    user, chan = subject.user(), UNLIMITED.make(subject)
    for message in numbered(7):
        user.try_send(chan, message).ok()
    assert user.purge(chan) == 7
    now = user.statistics(chan)
    assert (now["depth"], now["undelivered_dropped"]) == (0, 7)
    conserved(now)
    user.try_send(chan, b"after").ok()
    assert drain(user, chan) == [b"after"]


def test_purge_lets_parked_senders_in(subject: Subject) -> None:
    """Contract 4.3: the room that purge makes belongs to who waits for it."""
    (sender, other), chan = subject.users(2), subject.channel("buffered", 2)
    for message in numbered(2):
        sender.try_send(chan, message).ok()
    parked = [sender.send(chan, message) for message in numbered(3, 2)]
    other.purge(chan)
    assert [operation.waiting for operation in parked] == [False, False, True]
    assert drain(other, chan) == numbered(3, 2)


def test_purge_of_a_closed_channel_is_its_end(subject: Subject) -> None:
    """Contract 4.5: nothing is left, so parked and later receivers hear the end."""
    user, chan = subject.user(), UNLIMITED.make(subject)
    user.try_send(chan, b"x").ok()
    user.close(chan)
    assert user.purge(chan) == 1
    assert user.receive(chan).code == EPIPE


def test_rendezvous_has_nothing_to_purge(subject: Subject) -> None:
    """Contract 4.2: a parked sender's message is the sender's, not the channel's."""
    (sender, other), chan = subject.users(2), RENDEZVOUS.make(subject)
    parked = sender.send(chan, b"mine")
    assert other.purge(chan) == 0
    assert parked.waiting
    assert other.receive(chan).data == b"mine"
    parked.ok()
