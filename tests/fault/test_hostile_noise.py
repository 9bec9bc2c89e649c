"""Noise: conversations that were fine until something changed, dropped, doubled or cut their bytes.

What is wrong with a frame is not known to the test; it only knows that every connection gets
answers, an end, or waits, and that the house is whole afterwards. A failure names its seed.
"""

import os
import random

import pytest

from kcoro_ipc import _wire
from tests.fault.house import House
from tests.fault.peer import Peer

CONNECTIONS = 2_000 if os.environ.get("KCORO_LONG") else 500


def conversation(peer: Peer, chan: int, dice: random.Random) -> list[bytes]:
    """Frames of every hot command and some control commands, all well-formed."""
    arms = [("CLAUSE", [("CHAN_ID", chan), ("ELEMENT", b"s")]), ("CLAUSE", [("CHAN_ID", chan)])]
    number = dice.randrange(1, 1000)
    return [
        peer.frame("CHAN_SEND", REQ_ID=1, CHAN_ID=chan, TIMEOUT_MS=0, ELEMENT=dice.randbytes(30)),
        peer.frame("CHAN_SEND", ("ELEMENT", b"a"), ("ELEMENT", b"b"), REQ_ID=2, CHAN_ID=chan),
        peer.frame("CHAN_RECV", REQ_ID=3, CHAN_ID=chan, TIMEOUT_MS=dice.choice([0, -1, 5])),
        peer.frame("CHAN_RECV", REQ_ID=4, CHAN_ID=chan, MAX_ITEMS=number, FLAGS=1),
        peer.frame("SELECT", *arms, REQ_ID=5, TIMEOUT_MS=-1),
        peer.frame("CANCEL", REQ_ID=5),
        peer.frame("ACK", ("DELIVERY_ID", number), ("DELIVERY_ID", 1 << 40), REQ_ID=6),
        peer.frame("NACK", DELIVERY_ID=number << 32),
        peer.frame("CHAN_OPEN", REQ_ID=7, NAME="noise", TIMEOUT_MS=-1, FLAGS=1),
        peer.frame("CHAN_MAKE", REQ_ID=8, KIND=1, CAPACITY=number, FLAGS=7),
        peer.frame("GET_STATS", REQ_ID=9, CHAN_ID=chan, FLAGS=1),
        peer.frame("SUBSCRIBE", REQ_ID=10, CHAN_ID=chan, INTERVAL_MS=10),
        peer.frame("LIST", REQ_ID=11, MAX_ITEMS=number),
        peer.frame("CHAN_RELEASE", REQ_ID=12, CHAN_ID=chan, FLAGS=1),
        peer.frame("PING", REQ_ID=13),
    ]


def spoilt(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 5)):
        at = dice.randrange(len(changed))
        match dice.randrange(5):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                changed[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 2:
                del changed[at : at + dice.randrange(1, 9)]
            case 3:
                changed[at:at] = changed[max(0, at - 8) : at]
            case _:
                changed[at:at] = dice.randbytes(dice.randrange(1, 9))
        if not changed:
            changed = bytearray(b"\0")
    return bytes(changed)


@pytest.mark.parametrize("transport", ["stream", "seqpacket"])
@pytest.mark.parametrize("minor", [0, 1])
def test_noise_harms_nobody_else(house: House, transport: str, minor: int) -> None:
    """Contract 4.15: whatever comes, in ABI 1.0 and 1.1, in one write or in many."""
    for seed in range(CONNECTIONS):
        dice = random.Random(f"{seed} {transport} {minor}")
        with house.peer(transport, minor) as peer:
            chan = peer.make(KIND=1, CAPACITY=4) if minor else 1
            frames = conversation(Peer(peer.socket, 1), chan, dice)
            dice.shuffle(frames)
            data = spoilt(b"".join(frames), dice)
            try:
                for start in range(0, len(data), step := dice.choice([7, 100, 10_000])):
                    peer.say(data[start : start + step])
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was too much for the daemon before all was said
            if dice.randrange(2):
                read_some(peer)
        assert house.process.alive(), f"seed {seed} {transport} {minor}"


def read_some(peer: Peer) -> None:
    """Ends its own side, so that the daemon says what it has to say and hangs up."""
    try:
        peer.socket.shutdown(1)
        while peer.socket.recv(1 << 16):
            pass
    except OSError:
        pass  # reset: what we said was not all read


def test_pure_noise_harms_nobody_else(house: House) -> None:
    """Contract 4.15: bytes that were never a frame, before and after HELLO."""
    for seed in range(CONNECTIONS):
        dice = random.Random(seed)
        greet = bool(dice.randrange(2))
        with house.peer(dice.choice(["stream", "seqpacket"]), greet=greet) as peer:
            length = min(dice.choice([1, 8, 9, 200, 70_000]), _wire.MAX_SEQPACKET_FRAME_BYTES)
            try:
                peer.say(dice.randbytes(length))
            except (BrokenPipeError, ConnectionResetError):
                pass
            read_some(peer)
