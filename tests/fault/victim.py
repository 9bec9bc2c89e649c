"""A client process that gets itself into a state and stays there until it is killed.

    python -m tests.fault.victim STATE TRANSPORT PATH CHAN_ID

It says "there" on standard output when the daemon has answered a PING behind what it did, so the
state is known, then waits for ever.
"""

import signal
import socket
import sys

from tests.fault.peer import Peer
from tests.fault.sharer import Sharer
from tests.fault.sharing import STATES as SHARING

TRANSPORTS = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}
LARGE = 100_000
MANY = 40


def parked_send(peer: Peer, chan: int) -> None:
    peer.write("CHAN_SEND", REQ_ID=7, CHAN_ID=chan, TIMEOUT_MS=-1, ELEMENT=b"of the dead")
    assert peer.lives()


def parked_receive(peer: Peer, chan: int) -> None:
    peer.write("CHAN_RECV", REQ_ID=7, CHAN_ID=chan, TIMEOUT_MS=-1)
    assert peer.lives()


def parked_select(peer: Peer, chan: int) -> None:
    other = peer.make()
    arms = [("CLAUSE", [("CHAN_ID", one)]) for one in (other, chan)]
    peer.write("SELECT", *arms, REQ_ID=7, TIMEOUT_MS=-1)
    assert peer.lives()


def half_a_frame(peer: Peer, chan: int) -> None:
    assert peer.lives()
    peer.say(peer.frame("CHAN_SEND", REQ_ID=7, CHAN_ID=chan, ELEMENT=b"x" * 200_000)[:100_000])


def unread_replies(peer: Peer, chan: int) -> None:
    for number in range(MANY):
        peer.write("CHAN_RECV", REQ_ID=10 + number, CHAN_ID=chan, TIMEOUT_MS=-1)
    assert peer.lives()


def held(peer: Peer, chan: int) -> None:
    assert peer.ask("CHAN_RECV", CHAN_ID=chan, FLAGS=1, TIMEOUT_MS=-1)["RESULT"] == 0


def sent(peer: Peer, chan: int) -> None:
    assert peer.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"accepted") == 0


def waiting_for_confirmation(peer: Peer, chan: int) -> None:
    peer.write("CHAN_SEND", REQ_ID=7, CHAN_ID=chan, TIMEOUT_MS=-1, FLAGS=1, ELEMENT=b"confirm me")
    assert peer.lives()


STATES = {
    one.__name__: one
    for one in (
        parked_send,
        parked_receive,
        parked_select,
        half_a_frame,
        unread_replies,
        held,
        sent,
        waiting_for_confirmation,
    )
}


def main() -> None:
    state, transport, path, chan = sys.argv[1:]
    connected = socket.socket(socket.AF_UNIX, TRANSPORTS[transport])
    connected.connect(path)
    if state in SHARING:
        sharer = Sharer(connected)
        sharer.hello()
        SHARING[state](sharer, sharer.open(int(chan)))
    else:
        peer = Peer(connected)
        peer.hello()
        STATES[state](peer, peer.open(int(chan)))
    print("there", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
