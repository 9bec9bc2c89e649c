"""Histories of concurrent clients of a real daemon are linearizable.

Each player has a connection of its own and writes an operation with a PING behind it: an answer
that comes before the PING's was given at once, else the operation is parked by then and its answer,
when it comes, is a second call (`take`). The moments are those just before writing and just after
reading. KCORO_LONG=1 (make check-long) judges many more histories.
"""

import os
import random
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from linearize import Call, World, number, order_of
from model import Model
from records import NEVER, PARKED, Arm, Channel, Message, Operation

from kcoro_ipc import _wire
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.channels import make_pairs
from kcoro_ipc.protocol.replies import Reply, ReplyReader
from tests.e2e.harness import STUCK_S, DaemonProcess, running_daemon

LONG = bool(os.environ.get("KCORO_LONG"))
HISTORIES = 400 if LONG else 8  # of each kind and transport
PLAYERS, CALLS = 4, 12
SLOTS = {"rendezvous": 0, "buffered": 0, "conflated": 1, "unlimited": 1 << 20}
KINDS = {
    "rendezvous": {"kind": "rendezvous"},
    "buffered 1": {"kind": "buffered", "capacity": 1},
    "buffered 3": {"kind": "buffered", "capacity": 3},
    "conflated": {"kind": "conflated"},
    "unlimited": {"kind": "unlimited"},
}
PING_IDS = 1 << 30
LATE = (_wire.KC_EBUSY, _wire.KC_ENOENT)


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    directory = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    try:
        with running_daemon(directory, log_level="warning") as running:
            yield running
    finally:
        shutil.rmtree(directory)


# --- recording ---


class Player:
    """One connection. `users` numbers operations over all players, and is what a send sends."""

    def __init__(self, number: int, connected: socket.socket, users: "Numbers") -> None:
        self.number = number
        self.socket = connected
        self.users = users
        self.calls: list[Call] = []
        self.parked: dict[int, int] = {}  # user -> when it was known to be parked
        self._reader = ReplyReader()
        self._replies: list[Reply] = []
        self._pings = PING_IDS
        self.socket.settimeout(STUCK_S)
        self.socket.sendall(requests.hello())
        self._read()
        self._replies.clear()

    def _read(self) -> None:
        while not self._replies:
            data = self.socket.recv(1 << 16)
            assert data, "the daemon hung up"
            self._replies += self._reader.feed(data)

    def ask(self, frame: bytes) -> list[Reply]:
        """Writes it with a PING behind it; what was answered before the PING."""
        self._pings += 1
        self.socket.sendall(frame + requests.control(_wire.CMD_PING, self._pings))
        before: list[Reply] = []
        while True:
            self._read()
            reply = self._replies.pop(0)
            if reply.req_id == self._pings:
                return before
            before.append(reply)

    def note(
        self, before: int, name: str, user: int, code: int, value: int, apart: int = 0
    ) -> None:
        """`apart`: a line of its own, because it overlaps what this player did meanwhile."""
        line = apart or self.number
        self.calls.append(Call(line, before, time.monotonic_ns(), name, user, code, value))

    def operate(self, name: str, chan: int) -> None:
        user = next(self.users)
        wait_ms = requests.TRY_MS if name.startswith("try") else requests.FOREVER_MS
        if name.endswith("send"):
            frame = requests.send(user, chan, wait_ms, user.to_bytes(4, "little"))
        else:
            frame = requests.receive(user, chan, wait_ms)
        before = time.monotonic_ns()
        answers = {reply.req_id: reply for reply in self.ask(frame)}
        own = answers.pop(user, None)
        if own is None:
            self.note(before, name, user, PARKED, 0)
            self.parked[user] = before
        else:
            self.note(before, name, user, own.result or 0, value_of(own))
        self.take(answers.values())

    def take(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            since = self.parked.pop(reply.req_id)
            self.note(since, "take", reply.req_id, reply.result or 0, value_of(reply))

    def cancel(self, user: int) -> None:
        before = time.monotonic_ns()
        answers = {reply.req_id: reply for reply in self.ask(requests.cancel(user))}
        if user in answers and answers[user].result == _wire.KC_ECANCELED:
            del answers[user], self.parked[user]
            self.note(before, "cancel", user, _wire.KC_OK, 0)
        else:
            assert user in answers, "a cancelled request was not answered"
            self.note(before, "cancel", user, _wire.KC_EBUSY, 0)
        self.take(answers.values())

    def close(self, chan: int) -> None:
        before = time.monotonic_ns()
        req_id = next(self.users)
        pairs = [(_wire.ATTR_CHAN_ID, chan)]
        answers = {
            r.req_id: r for r in self.ask(requests.control(_wire.CMD_CHAN_CLOSE, req_id, pairs))
        }
        self.note(before, "close", 0, answers.pop(req_id).result or 0, 0)
        self.take(answers.values())

    def play(self, chan: int, dice: random.Random, closes: bool, start: threading.Barrier) -> None:
        names = ["send", "send", "receive", "receive", "try_send", "try_receive", "cancel"]
        start.wait(STUCK_S)
        for count in range(CALLS):
            name = dice.choice(names)
            if closes and count == CALLS - 4:
                self.close(chan)
            elif name != "cancel":
                self.operate(name, chan)
            elif self.parked:
                self.cancel(dice.choice(list(self.parked)))
        while self.parked:
            self.cancel(next(iter(self.parked)))


class Numbers:
    def __init__(self) -> None:
        self._lock, self._last = threading.Lock(), 0

    def __next__(self) -> int:
        with self._lock:
            self._last += 1
            return self._last


def value_of(reply: Reply) -> int:
    return int.from_bytes(reply.elements[0], "little") if reply.elements else 0


def record(
    daemon: DaemonProcess, transport: str, options: dict[str, object], dice: random.Random
) -> list[Call]:
    users, start = Numbers(), threading.Barrier(PLAYERS)
    players = [Player(n, daemon.connect(transport), users) for n in range(PLAYERS)]
    try:
        first = players[0]
        pairs = make_pairs(None, options)  # type: ignore[arg-type]
        chan = first.ask(requests.control(_wire.CMD_CHAN_MAKE, next(users), pairs))[0].get(
            _wire.ATTR_CHAN_ID
        )
        for player in players[1:]:
            opening = [(_wire.ATTR_CHAN_ID, chan), (_wire.ATTR_FLAGS, 3)]
            player.ask(requests.control(_wire.CMD_CHAN_OPEN, next(users), opening))
        closer = dice.randrange(2 * PLAYERS)  # half of the histories have a close
        with ThreadPoolExecutor(PLAYERS) as pool:
            games = [
                pool.submit(player.play, chan, random.Random(dice.random()), n == closer, start)
                for n, player in enumerate(players)
            ]
            for game in games:
                game.result()
    finally:
        for player in players:
            player.socket.close()
    return [call for player in players for call in player.calls]


# --- judging ---


class Answer(NamedTuple):
    """What a parked operation was answered in the end, and when that had been read."""

    code: int
    value: int
    read_at: int


@dataclass
class SocketWorld(World):
    """The model behind connections: what was decided is taken at once, and has to be the answer
    that was read, by a step that had begun before it was read.

    One thing differs from calls of the engine: a plain message is held until the kernel has its
    reply, so that another receiver at the end of a closed channel may wait a moment for its EPIPE,
    or find nothing there (contract 4.5).
    """

    seen: dict[int, Answer]

    def answers(self, call: Call) -> bool:
        if self._is_overdue(call.before):
            return False
        if call.name == "cancel":
            code = self.model.cancel(call.user)
            fits = code == call.code if call.code == _wire.KC_OK else code in LATE
        elif call.name == "close":
            fits = self.model.close(self.channel) == call.code
        else:
            fits = self._operates(call)
        return fits and self._taken_fits(call.before)

    def _is_overdue(self, began_at: int) -> bool:
        """An operation still waits whose answer had been read when this call began."""
        waiting = (self.seen[user] for user in self.model.parked if user in self.seen)
        return any(answer.read_at < began_at for answer in waiting)

    def _operates(self, call: Call) -> bool:
        operation = Operation(call.user, call.thread, -1 if call.name.startswith("try") else NEVER)
        message = Message(call.user.to_bytes(4, "little")) if call.name.endswith("send") else None
        outcome = self.model.operate(operation, [Arm(self.channel, message)])
        if outcome.code == _wire.KC_EPIPE and message is None and call.code != outcome.code:
            answer = self.seen.get(call.user)
            waited = call.code == PARKED and answer is not None and answer.code == outcome.code
            return waited or call.code == _wire.KC_EAGAIN
        return (outcome.code, number(outcome.value)) == (call.code, call.value)

    def _taken_fits(self, began_at: int) -> bool:
        while (taken := self.model.take()) is not None:
            answer = self.seen.get(taken.user)
            if answer is None or answer.read_at < began_at:
                return False
            if (taken.code, number(taken.value)) != answer[:2]:
                return False
        return True


def is_linearizable(history: list[Call], options: dict[str, object]) -> bool:
    kind = str(options["kind"])
    capacity = int(str(options.get("capacity", SLOTS[kind])))
    seen = {c.user: Answer(c.code, c.value, c.after) for c in history if c.name == "take"}
    calls = [call for call in history if call.name != "take"]
    return order_of(calls, lambda: SocketWorld(Model(), Channel(kind, capacity), seen)) is not None


def text(history: list[Call]) -> str:
    return "\n".join(map(str, sorted(history, key=lambda call: call.before)))


@pytest.mark.parametrize("transport", ["stream", "seqpacket"])
@pytest.mark.parametrize("name", KINDS)
def test_histories_of_clients_are_linearizable(
    daemon: DaemonProcess, name: str, transport: str
) -> None:
    """Contract 4.1 to 4.7: there is an order of all calls, true to real time, in which the model
    gives every answer that the clients saw."""
    dice = random.Random(f"{name} {transport}" if not LONG else None)
    for _ in range(HISTORIES):
        history = record(daemon, transport, KINDS[name], dice)
        assert is_linearizable(history, KINDS[name]), text(history)


def test_histories_of_clients_hold_what_is_to_be_judged(daemon: DaemonProcess) -> None:
    """Else the test above could say yes to nothing."""
    dice = random.Random(7)
    calls = [
        call for _ in range(15) for call in record(daemon, "stream", KINDS["rendezvous"], dice)
    ]
    seen = {(call.name, call.code) for call in calls}
    assert {("send", 0), ("send", PARKED), ("receive", 0), ("receive", PARKED)} <= seen
    assert {("take", 0), ("cancel", 0), ("close", 0)} <= seen
    own = [call for call in calls if call.name != "take"]
    own.sort(key=lambda call: call.before)
    assert sum(b.before < a.after for a, b in pairwise(own)) >= 20


def test_exchanged_messages_of_clients_are_noticed(daemon: DaemonProcess) -> None:
    """The judge says no to a history in which two receivers' messages are exchanged."""
    dice = random.Random(8)
    rejected = judged = 0
    while judged < 10:
        history = record(daemon, "stream", KINDS["buffered 3"], dice)
        places = [i for i, call in enumerate(history) if call.value]
        if len(places) < 4:
            continue
        a, b = places[0], places[-1]
        swapped = list(history)
        swapped[a] = history[a]._replace(value=history[b].value)
        swapped[b] = history[b]._replace(value=history[a].value)
        judged += 1
        rejected += not is_linearizable(swapped, KINDS["buffered 3"])
    assert rejected >= 5
