"""Messages that left their sender's hands and reached nobody: exactly one place, counted once.

A user that dies before its connection took the reply is shown by one that does not read: the
reply waits in the daemon. Where a kernel buffer would swallow it, the reply is made too large.
"""

from collections.abc import Callable

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.protocol import requests
from tests.conformance.cases import conserved, drain, numbered, of
from tests.conformance.pump_subject import PumpSubject
from tests.conformance.subject import (
    BUFFERED,
    CONFLATED,
    EAGAIN,
    LOSSLESS,
    RENDEZVOUS,
    UNLIMITED,
    Spec,
)
from tests.conformance.wire_user import WireSubject, WireUser

TWO = BUFFERED[1]
Quiet = Callable[[WireUser, int, int], None]


@pytest.fixture
def quiet() -> Quiet:
    """Asks for `count` messages and does not read the answers."""

    def ask(user: WireUser, chan: int, count: int) -> None:
        user.use(chan)
        for _ in range(count):
            user.write(requests.receive(user.new_id(), chan, -1))

    return ask


@pytest.fixture
def pump() -> PumpSubject:
    made = PumpSubject()
    yield made
    made.check()
    made.finish()


@of(LOSSLESS)
def test_a_message_whose_reply_was_not_taken_goes_back(
    pump: PumpSubject, spec: Spec, quiet: Quiet
) -> None:
    """Contract 4.10: requeue is the default; flagged as delivered before, counted as requeued."""
    (sender, dead, alive), chan = pump.users(3), spec.make(pump)
    quiet(dead, chan, 1)
    sender.send(chan, b"x").ok()
    now = alive.statistics(chan)
    assert (now["held"], now["depth"], now["total_recvs"]) == (1, 1, 0)
    dead.die()
    got = alive.try_receive(chan, ack=True).ok()
    assert got.data == b"x"
    assert alive.ack(got.delivery) == 0
    now = alive.statistics(chan)
    assert (now["undelivered_requeued"], now["undelivered"], now["total_recvs"]) == (1, 0, 1)
    conserved(now)


@of(LOSSLESS)
def test_a_message_whose_reply_was_taken_is_the_receiver_s(
    pump: PumpSubject, spec: Spec, quiet: Quiet
) -> None:
    """Contract 4.11: bytes the kernel took count as delivered: at most once."""
    (sender, dead, alive), chan = pump.users(3), spec.make(pump)
    quiet(dead, chan, 1)
    sender.send(chan, b"x").ok()
    assert dead.fetch()
    assert alive.statistics(chan)["total_recvs"] == 1
    dead.die()
    assert alive.try_receive(chan).code == EAGAIN


def test_a_reply_of_which_one_byte_is_missing_was_not_delivered(
    pump: PumpSubject, quiet: Quiet
) -> None:
    """Contract 4.10: DONE is when the kernel took the last byte."""
    (sender, dead, alive), chan = pump.users(3), TWO.make(pump)
    quiet(dead, chan, 1)
    sender.send(chan, b"x" * 100).ok()
    reply_bytes = 8 + 8 + 8 + 4 + 100
    assert len(dead.fetch(reply_bytes - 1)) == reply_bytes - 1
    assert alive.statistics(chan)["held"] == 1
    dead.die()
    assert alive.try_receive(chan).data == b"x" * 100


def test_several_unread_messages_go_back_in_their_order(pump: PumpSubject, quiet: Quiet) -> None:
    """Contract 4.10, 4.9: to their old places, before what came later."""
    (sender, dead, alive), chan = pump.users(3), UNLIMITED.make(pump)
    quiet(dead, chan, 4)
    for message in numbered(6):
        sender.send(chan, message).ok()
    dead.die()
    assert drain(alive, chan) == numbered(6)


@pytest.mark.parametrize("spec", LOSSLESS, ids=lambda spec: spec.label)
def test_undelivered_drop_drops_and_counts(pump: PumpSubject, spec: Spec, quiet: Quiet) -> None:
    """Contract 4.10: by policy, once."""
    (sender, dead, alive), chan = pump.users(3), spec.make(pump, undelivered="drop")
    quiet(dead, chan, 1)
    sender.send(chan, b"x").ok()
    dead.die()
    assert alive.try_receive(chan).code == EAGAIN
    now = alive.statistics(chan)
    assert (now["undelivered_dropped"], now["undelivered"], now["depth"]) == (1, 1, 0)
    conserved(now)


def test_undelivered_dead_letter_moves_it(pump: PumpSubject, quiet: Quiet) -> None:
    """Contract 4.10: whole, and counted on both channels."""
    (sender, dead, alive), letters = pump.users(3), pump.dead_letter_channel()
    chan = TWO.make(pump, undelivered="dead_letter", dead_letter=letters.option)
    quiet(dead, chan, 1)
    sender.send(chan, b"x" * 5000).ok()
    dead.die()
    now = alive.statistics(chan)
    assert (now["undelivered_dead_lettered"], now["depth"]) == (1, 0)
    conserved(now)
    assert drain(alive, letters.chan) == [b"x" * 5000]


def test_a_conflated_value_goes_back_unless_a_newer_one_came(
    pump: PumpSubject, quiet: Quiet
) -> None:
    """Contract 4.10: drop where a newer value exists, else requeue."""
    (sender, dead, alive), chan = pump.users(3), CONFLATED.make(pump)
    quiet(dead, chan, 1)
    sender.send(chan, b"old").ok()
    dead.die()
    assert alive.try_receive(chan).data == b"old"
    again = pump.user()
    quiet(again, chan, 1)
    sender.send(chan, b"old").ok()
    sender.send(chan, b"new").ok()
    again.die()
    assert alive.try_receive(chan).data == b"new"
    now = alive.statistics(chan)
    assert (now["undelivered_requeued"], now["undelivered_dropped"]) == (1, 1)
    conserved(now)


def test_an_undelivered_message_of_a_closed_channel_still_drains(
    pump: PumpSubject, quiet: Quiet
) -> None:
    """Contract 4.5, 4.10: receivers do not hear the end while a held one may come back."""
    (sender, dead, alive), chan = pump.users(3), TWO.make(pump)
    quiet(dead, chan, 1)
    sender.send(chan, b"x").ok()
    sender.close(chan)
    parked = alive.receive(chan)
    assert parked.waiting
    dead.die()
    assert parked.data == b"x"
    assert alive.receive(chan).code == _wire.KC_EPIPE


def test_what_the_asking_connection_holds_itself_does_not_delay_its_end(
    pump: PumpSubject, quiet: Quiet
) -> None:
    """Contract 4.5: its own plain receives are on the way to it, and it reads them first."""
    (sender, reader), chan = pump.users(2), TWO.make(pump)
    sender.try_send(chan, b"last").ok()
    sender.close(chan)
    quiet(reader, chan, 2)
    reader.collect()
    got = sorted(reader.unasked(), key=lambda reply: reply.req_id)
    assert [(reply.result, list(reply.elements)) for reply in got] == [
        (0, [b"last"]),
        (_wire.KC_EPIPE, []),
    ]


@pytest.mark.parametrize("spec", [TWO, UNLIMITED, RENDEZVOUS], ids=lambda spec: spec.label)
def test_over_a_real_socket_unread_replies_go_back(
    wire_subject: WireSubject, spec: Spec, quiet: Quiet
) -> None:
    """Contract 4.10: replies beyond what the kernel buffers; what it took is lost with the dead,
    the rest comes back in order, and sent = received + came back."""
    (sender, dead, alive), chan = wire_subject.users(3), spec.make(wire_subject)
    count, size = 40, 100_000
    quiet(dead, chan, count)
    for number in range(count):
        sender.send(chan, b"%04d" % number * (size // 4)).ok()
    now = alive.statistics(chan)
    held = now["held"]
    assert held > 0, "the kernel took everything; the case needs larger replies"
    assert now["total_recvs"] == count - held
    dead.die()
    got = [int(message[:4]) for message in drain(alive, chan)]
    assert got == list(range(count - held, count))
    now = alive.statistics(chan)
    assert now["undelivered_requeued"] == held
    conserved(now)
