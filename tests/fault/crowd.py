"""A process with many connections, or one after another: part of what a daemon has to bear.

    python -m tests.fault.crowd park PATH CHAN COUNT
    python -m tests.fault.crowd storm PATH CHAN COUNT

park: COUNT connections, each with a receive that waits at the channel. It prints one JSON object:
how many were served, and of those refused how many for which quota, limit, usage and setting. For
each line on standard input it prints a list of what one message each brought; it ends with its
standard input.

storm: COUNT connections after each other; some say nothing, some half a HELLO, some park and
vanish. Prints how many it made.
"""

import json
import resource
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import IO, Any, Self

from kcoro_ipc import _wire
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.replies import Reply, ReplyReader
from tests.fault.peer import STUCK_S

ROOT = Path(__file__).parents[2]
READ_BYTES = 1 << 16
OPEN, RECEIVE = 1, 2  # request ids
QUOTA = (
    _wire.ATTR_QUOTA_NAME,
    _wire.ATTR_QUOTA_LIMIT,
    _wire.ATTR_QUOTA_USAGE,
    _wire.ATTR_QUOTA_SETTING,
)


class Crowd:
    """Such a process, from outside."""

    def __init__(self, what: str, path: str, chan: int, count: int) -> None:
        words = [what, path, str(chan), str(count)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.crowd", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "a crowd ended without a word"
        return json.loads(line)

    def collect(self) -> None:
        """Each of its connections is to read a message; `hear` says what they brought."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def leave(self) -> None:
        self.process.communicate()


# --- inside ---


def connected_to(path: str) -> socket.socket:
    """Waits while the backlog is full, as a blocking connect(2) does."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.connect(path)
    made.settimeout(STUCK_S)
    return made


class Member:
    """One connection; what it says at once is HELLO, OPEN and a receive that waits."""

    def __init__(self, path: str, words: bytes) -> None:
        self.socket = connected_to(path)
        self._reader = ReplyReader()
        self._replies: list[Reply] = []
        try:
            self.socket.sendall(words)
        except (BrokenPipeError, ConnectionResetError):
            pass  # turned away at the door; why is there to be read

    def read(self) -> Reply | None:
        while not self._replies:
            try:
                data = self.socket.recv(READ_BYTES)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self._replies += self._reader.feed(data)
        return self._replies.pop(0)

    def refusal(self) -> tuple[Any, ...] | None:
        """None: it is in, has the channel and waits there."""
        hello = self.read()
        if hello is None:
            return ("hung up",)
        if hello.result:
            return tuple(hello.get(number) for number in QUOTA)
        opened = self.read()
        assert opened is not None
        assert (opened.req_id, opened.result) == (OPEN, 0), opened
        return None

    def message(self) -> int:
        reply = self.read()
        assert reply is not None
        assert (reply.req_id, reply.result) == (RECEIVE, 0), reply
        return int(reply.elements[0])


def said_at_once(chan: int) -> bytes:
    rights = _wire.FLAG_CHAN_READ
    pairs = ((_wire.ATTR_CHAN_ID, chan), (_wire.ATTR_FLAGS, rights))
    opening = requests.control(_wire.CMD_CHAN_OPEN, OPEN, pairs)
    return requests.hello("crowd") + opening + requests.receive(RECEIVE, chan, -1, 0, 0)


def park(path: str, chan: int, count: int, lines: IO[str]) -> None:
    words = said_at_once(chan)
    members = [Member(path, words) for _ in range(count)]
    refused: Counter[tuple[Any, ...]] = Counter()
    inside = []
    for member in members:
        refusal = member.refusal()
        if refusal is None:
            inside.append(member)
        else:
            refused[refusal] += 1
            member.socket.close()
    told = [[*quota, number] for quota, number in sorted(refused.items())]
    print(json.dumps({"served": len(inside), "refused": told}), flush=True)
    for _ in lines:
        print(json.dumps([member.message() for member in inside]), flush=True)


def storm(path: str, chan: int, count: int) -> None:
    words = said_at_once(chan)
    says = (b"", words[:3], words)
    for number in range(count):
        with connected_to(path) as made:
            made.sendall(says[number % 3])
    print(count, flush=True)


def main() -> None:
    what, path, chan, count = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if what == "park":
        park(path, int(chan), int(count), sys.stdin)
    else:
        storm(path, int(chan), int(count))


if __name__ == "__main__":
    main()
