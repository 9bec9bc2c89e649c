"""The states of a victim (victim.py) that shares memory or passes files: each step of an exchange.

A receiver's state begins with a message that already waits in its channel.
"""

import mmap
import os
import socket
from typing import Any

from kcoro_ipc import blocking
from kcoro_ipc.regions.memory import PAGE, create_memory
from tests.fault.sharer import Sharer

SIZE = 4 * PAGE
WORDS = b"of the dead"
KEPT: list[Any] = []  # mappings and the like, until the kill


def real_client(peer: Sharer) -> blocking.Client:
    """One more connection to where this peer's goes."""
    kind = "stream" if peer.socket.type == socket.SOCK_STREAM else "seqpacket"
    return blocking.open_client(f"{kind}:{peer.socket.getpeername()}")


# --- senders ---


def loaned(peer: Sharer, chan: int) -> None:
    """A loan of the real client that is being filled."""
    client = real_client(peer)
    loan = client.loan(SIZE)
    KEPT.extend((client, loan))
    loan.__enter__()[: len(WORDS)] = WORDS


def memory() -> int:
    made, file = create_memory(SIZE)
    made[: len(WORDS)] = WORDS
    KEPT.extend((made, file))
    return file[0]


def half_registered(peer: Sharer, chan: int) -> None:
    data = peer.frame_files("REGION_ADD", 1, REQ_ID=7, SIZE=SIZE)
    assert peer.lives()
    peer.say_files(data[:10], [memory()])


def registered(peer: Sharer, chan: int) -> None:
    peer.region(memory(), SIZE)


def range_parked(peer: Sharer, chan: int) -> None:
    start_send(peer, chan)
    assert peer.lives()


def start_send(peer: Sharer, chan: int) -> None:
    value = peer.range_value(peer.region(memory(), SIZE), 0, SIZE)
    peer.write("CHAN_SEND", REQ_ID=7, CHAN_ID=chan, TIMEOUT_MS=-1, DESC=value)


def range_sent(peer: Sharer, chan: int) -> None:
    assert peer.send_range(chan, peer.region(memory(), SIZE), 0, SIZE)["RESULT"] == 0


def dropping(peer: Sharer, chan: int) -> None:
    """Waits until its region, of which a range waits, is free."""
    region = peer.region(memory(), SIZE)
    assert peer.send_range(chan, region, 0, SIZE)["RESULT"] == 0
    peer.write("REGION_DROP", REQ_ID=8, REGION_ID=region, FLAGS=1)
    assert peer.lives()


def pipes() -> list[int]:
    reading, writing = os.pipe()
    os.write(writing, WORDS)
    return [reading, reading]


def files_half(peer: Sharer, chan: int) -> None:
    data = peer.frame_files("CHAN_SEND", 2, REQ_ID=7, CHAN_ID=chan, ELEMENT=b"x" * 100)
    assert peer.lives()
    peer.say_files(data[:50], pipes())


def files_parked(peer: Sharer, chan: int) -> None:
    words = {"REQ_ID": 7, "CHAN_ID": chan, "TIMEOUT_MS": -1, "ELEMENT": b"x"}
    peer.write_files("CHAN_SEND", pipes(), **words)
    assert peer.lives()


def files_sent(peer: Sharer, chan: int) -> None:
    answer = peer.ask_files("CHAN_SEND", pipes(), CHAN_ID=chan, TIMEOUT_MS=-1, ELEMENT=WORDS)
    assert answer["RESULT"] == 0


# --- receivers, of either ---


def waiting(peer: Sharer, chan: int) -> None:
    """Parked; what comes is never read."""
    peer.receive(chan)
    peer.write("CHAN_RECV", REQ_ID=7, CHAN_ID=chan, TIMEOUT_MS=-1)
    assert peer.lives()


def unread(peer: Sharer, chan: int) -> None:
    """The kernel has the answer, with the region's file or the message's."""
    peer.write("CHAN_RECV", REQ_ID=7, CHAN_ID=chan, TIMEOUT_MS=-1)
    with Sharer(peer.connected_again()) as other:
        other.hello()
        assert other.lives()
        assert other.lives()


def taken(peer: Sharer, chan: int) -> None:
    peer.receive(chan)


def mapped(peer: Sharer, chan: int) -> None:
    """And not released."""
    region, _, _, _ = peer.receive_range(chan)
    number, size = peer.maps[region]
    KEPT.append(mmap.mmap(number, size, prot=mmap.PROT_READ))
    assert KEPT[-1][: len(WORDS)] == WORDS


def held(peer: Sharer, chan: int) -> None:
    """It would acknowledge, and release."""
    peer.receive(chan, FLAGS=1)


def released_unacknowledged(peer: Sharer, chan: int) -> None:
    answer = peer.receive(chan, FLAGS=1)
    lease = int.from_bytes(answer["ITEM"][0]["DESC"][-8:])
    assert peer.result("RELEASE", LEASE_ID=lease) == 0


def acknowledged_unreleased(peer: Sharer, chan: int) -> None:
    delivery = peer.receive(chan, FLAGS=1)["ITEM"][0]["DELIVERY_ID"]
    assert peer.result("ACK", DELIVERY_ID=delivery) == 0


def half_a_release(peer: Sharer, chan: int) -> None:
    data = peer.frame("RELEASE", LEASE_ID=peer.receive_range(chan)[3])
    assert peer.lives()
    peer.say(data[:-1])


def leased_by_the_client(peer: Sharer, chan: int) -> None:
    """The real client, with its view open."""
    client = real_client(peer)
    lease = client.open_channel(chan).receive_lease()
    KEPT.extend((client, lease))
    assert lease.data[: len(WORDS)] == WORDS


SENDERS_OF_RANGES = (loaned, half_registered, registered, range_parked, range_sent, dropping)
SENDERS_OF_FILES = (files_half, files_parked, files_sent)
RECEIVERS = (unread, taken, held, waiting)
RECEIVERS_OF_RANGES = (
    mapped,
    released_unacknowledged,
    acknowledged_unreleased,
    half_a_release,
    leased_by_the_client,
)
STATES = {
    f"sharing {one.__name__}": one
    for one in (*SENDERS_OF_RANGES, *SENDERS_OF_FILES, *RECEIVERS, *RECEIVERS_OF_RANGES)
}
