"""A process of some user that connects and passes its connection on, or uses one passed to it.

    python -m tests.fault.passer CONTROL_FD UID

Packets on CONTROL_FD ask it, one at a time: `connect PATH` is answered with the connection, as
SCM_RIGHTS; `use` and a frame, with a connection, by the daemon's answer to that frame. It ends with
CONTROL_FD.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from kcoro_ipc import tlv
from tests.fault.peer import STUCK_S, Peer, named

ROOT = Path(__file__).parents[2]
PACKET_BYTES = 1 << 16


class Passer:
    """Such a process, from outside."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(STUCK_S)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.fault.passer", str(theirs.fileno()), str(uid)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self.process.pid

    def end(self) -> None:
        """Gone, and its number free for another."""
        self.control.close()
        self.process.wait()

    def connect(self, path: str) -> Peer:
        """A connection that it made and passed to us; nothing was said on it."""
        self.control.send(b"connect " + path.encode())
        _, files, _, _ = socket.recv_fds(self.control, PACKET_BYTES, 1)
        return Peer(socket.socket(fileno=files[0]))

    def ask(self, peer: Peer, command: str, **attributes: Any) -> dict[str, Any]:
        """What the daemon answers when it, not we, writes to that connection."""
        data = peer.frame(command, REQ_ID=5, **attributes)
        socket.send_fds(self.control, [b"use " + data], [peer.socket.fileno()])
        answer = self.control.recv(PACKET_BYTES)
        assert answer, "the daemon ended the connection instead of answering"
        return named(tlv.parse_frame(answer, peer.minor).attributes)


def connected_to(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.connect(path)
    return made


def answer_on(passed: socket.socket, frame: bytes) -> bytes:
    peer = Peer(passed)
    peer.say(frame)
    head = peer.read_bytes(tlv.HEADER_BYTES)
    return head + peer.read_bytes(int.from_bytes(head[4:8]))


def serve(control: socket.socket) -> None:
    while True:
        packet, files, _, _ = socket.recv_fds(control, PACKET_BYTES, 1)
        word, _, rest = packet.partition(b" ")
        if word == b"connect":
            with connected_to(rest.decode()) as made:
                socket.send_fds(control, [b"here"], [made.fileno()])
        elif word == b"use":
            with socket.socket(fileno=files[0]) as passed:
                control.send(answer_on(passed, rest))
        else:
            return


def become(uid: int) -> None:
    """For good, with a group of the same number and no other."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


if __name__ == "__main__":
    number, wanted = map(int, sys.argv[1:])
    if wanted != os.getuid():
        become(wanted)
    with socket.socket(fileno=number) as asked:
        serve(asked)
