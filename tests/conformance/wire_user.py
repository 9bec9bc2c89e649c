"""A conformance user that speaks frames of ABI 1.1 over some link.

It builds and reads frames with kcoro_ipc.protocol, as the clients do, but starts any number of
requests and waits for none. The link decides how bytes move and how "all that was decided so far"
is learnt.
"""

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.channels import make_pairs
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply, ReplyReader
from tests.conformance.subject import FOREVER, Arm, DeadLetter, Operation, Outcome, Subject, User

BOTH_RIGHTS = _wire.FLAG_CHAN_READ | _wire.FLAG_CHAN_WRITE


class WireUser(User):
    """Subclasses bring `write`, `collect` and `pass_time`, and give what they read to `heard`."""

    def __init__(self) -> None:
        self._reader = ReplyReader()
        self._last_id = 0
        self._under_way: dict[int, Operation] = {}
        self._answers: dict[int, Reply] = {}
        self._open: set[int] = set()
        self.last_words: list[Reply] = []
        self.ended = False

    # --- the link ---

    @abstractmethod
    def write(self, data: bytes) -> None: ...

    def heard(self, data: bytes) -> None:
        for reply in self._reader.feed(data):
            self._take(reply)
        assert self._reader.failure is None, self._reader.failure

    def _take(self, reply: Reply) -> None:
        if reply.req_id == 0:
            self.last_words.append(reply)
            return
        operation = self._under_way.pop(reply.req_id, None)
        if operation is not None:
            operation.end(outcome_of(reply))
        else:
            assert reply.req_id not in self._answers, f"a second answer: {reply!r}"
            self._answers[reply.req_id] = reply

    def new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def hello(self) -> None:
        self.write(requests.hello("conformance"))
        while not self.last_words:
            self.pass_time()
        self.last_words.clear()

    def answer(self, req_id: int) -> Reply:
        """The answer of a control request, which never waits."""
        self.collect()
        return self._answers.pop(req_id)

    def unasked(self) -> list[Reply]:
        """Answers to frames that a case wrote by hand, as far as they were heard; once."""
        found = list(self._answers.values())
        self._answers.clear()
        return found

    def control(self, cmd: int, *pairs: tuple[int, Any]) -> Reply:
        req_id = self.new_id()
        self.write(requests.control(cmd, req_id, pairs))
        return self.answer(req_id)

    # --- channels ---

    def make(self, options: dict[str, Any], name: str | None = None) -> Reply:
        pairs = make_pairs(name, options)  # type: ignore[arg-type]
        reply = self.control(_wire.CMD_CHAN_MAKE, *pairs)
        if not reply.result:
            self._open.add(reply.get(_wire.ATTR_CHAN_ID))
        return reply

    def made(self, options: dict[str, Any], name: str | None = None) -> int:
        """The CHAN_ID of a new channel, or the error of the refusal."""
        reply = self.make(options, name)
        if reply.result:
            raise failure_of(reply)
        return int(reply.get(_wire.ATTR_CHAN_ID))

    def use(self, chan: int) -> int:
        """Gets the handle that an operation needs, once."""
        if chan not in self._open:
            reply = self.control(
                _wire.CMD_CHAN_OPEN, (_wire.ATTR_CHAN_ID, chan), (_wire.ATTR_FLAGS, BOTH_RIGHTS)
            )
            if not reply.result:
                self._open.add(chan)
        return chan

    # --- operations ---

    def begin(self, label: str, req_id: int, frame: bytes) -> Operation:
        operation = Operation(self, label)
        operation.key = req_id
        self._under_way[req_id] = operation
        self.write(frame)
        self.collect()
        return operation

    def send(
        self,
        chan: int,
        data: bytes,
        timeout_ms: int = FOREVER,
        confirm: bool = False,
        ttl_ms: int = 0,
    ) -> Operation:
        self.use(chan)
        req_id = self.new_id()
        flags = _wire.FLAG_SEND_COMPLETE_ACK if confirm else 0
        frame = requests.send(req_id, chan, timeout_ms, data, flags, ttl_ms)
        return self.begin(f"send {data[:16]!r}", req_id, frame)

    def send_many(
        self, chan: int, elements: Sequence[bytes], timeout_ms: int = FOREVER
    ) -> Operation:
        self.use(chan)
        req_id = self.new_id()
        frame = requests.send_many(req_id, chan, timeout_ms, elements)
        return self.begin(f"send {len(elements)}", req_id, frame)

    def receive(
        self, chan: int, timeout_ms: int = FOREVER, ack: bool = False, sender: bool = False
    ) -> Operation:
        return self._receive(chan, timeout_ms, 0, ack, sender)

    def receive_many(
        self, chan: int, most: int, timeout_ms: int = FOREVER, ack: bool = False
    ) -> Operation:
        return self._receive(chan, timeout_ms, most, ack)

    def _receive(
        self, chan: int, timeout_ms: int, most: int, ack: bool, sender: bool = False
    ) -> Operation:
        self.use(chan)
        req_id = self.new_id()
        flags = (_wire.FLAG_RECV_ACK if ack else 0) | (_wire.FLAG_RECV_SENDER if sender else 0)
        return self.begin(
            "receive", req_id, requests.receive(req_id, chan, timeout_ms, most, flags)
        )

    def select(
        self, arms: Sequence[Arm], timeout_ms: int = FOREVER, biased: bool = False
    ) -> Operation:
        clauses = [
            requests.Clause(self.use(arm.chan), arm.data, _wire.FLAG_CLAUSE_ACK if arm.ack else 0)
            for arm in arms
        ]
        req_id = self.new_id()
        flags = _wire.FLAG_SELECT_BIASED if biased else 0
        frame = requests.select(req_id, timeout_ms, clauses, flags)
        return self.begin(f"select of {len(arms)}", req_id, frame)

    def cancel(self, operation: Operation) -> None:
        self.write(requests.cancel(operation.key))
        self.collect()

    def ack(self, delivery: int) -> int:
        return self._settle(requests.ack, delivery)

    def nack(self, delivery: int) -> int:
        return self._settle(requests.nack, delivery)

    def _settle(self, build: Any, delivery: int) -> int:
        req_id = self.new_id()
        self.write(build(req_id, [delivery]))
        return int(self.answer(req_id).result or 0)

    # --- the channel itself ---

    def close(self, chan: int) -> int:
        reply = self.control(_wire.CMD_CHAN_CLOSE, (_wire.ATTR_CHAN_ID, self.use(chan)))
        return int(reply.result or 0)

    def destroy(self, chan: int, reason: str = "") -> int:
        self.use(chan)
        pairs: list[tuple[int, Any]] = [(_wire.ATTR_CHAN_ID, chan)]
        if reason:
            pairs.append((_wire.ATTR_REASON, reason))
        return int(self.control(_wire.CMD_CHAN_DESTROY, *pairs).result or 0)

    def purge(self, chan: int) -> int:
        reply = self.control(_wire.CMD_CHAN_PURGE, (_wire.ATTR_CHAN_ID, self.use(chan)))
        assert not reply.result, reply
        return int(reply.get(_wire.ATTR_COUNT))

    def release(self, chan: int, rights: int = BOTH_RIGHTS) -> int:
        self._open.discard(chan)
        pairs = [(_wire.ATTR_CHAN_ID, chan), (_wire.ATTR_FLAGS, rights)]
        return int(self.control(_wire.CMD_CHAN_RELEASE, *pairs).result or 0)

    def statistics(self, chan: int) -> dict[str, int]:
        reply = self.control(_wire.CMD_GET_STATS, (_wire.ATTR_CHAN_ID, self.use(chan)))
        assert not reply.result, reply
        return {
            _wire.STAT_NAMES[stat[_wire.ATTR_STAT_ID] - 1]: stat[_wire.ATTR_VALUE]
            for stat in reply.get(_wire.ATTR_STAT)
        }


class WireSubject(Subject):
    """Channels are anonymous and kept by a user of their own, so that they end with the case."""

    _names = itertools.count(1)

    def __init__(self) -> None:
        self._maker: WireUser | None = None

    @abstractmethod
    def user(self) -> WireUser: ...

    @property
    def maker(self) -> WireUser:
        if self._maker is None:
            self._maker = self.user()
        return self._maker

    def channel(
        self, kind: str = "rendezvous", capacity: int = 0, overflow: str = "suspend", **options: Any
    ) -> int:
        return self.maker.made(made_options(kind, capacity, overflow, options))

    def dead_letter_channel(self) -> DeadLetter:
        name = f"dead letters {next(self._names)}"
        chan = self.maker.made({"kind": "unlimited", "ephemeral": True}, name)
        return DeadLetter(chan, name)


def made_options(
    kind: str, capacity: int, overflow: str, options: dict[str, Any]
) -> dict[str, Any]:
    """The options of `Subject.channel` in the words of a client."""
    wanted: dict[str, Any] = {"kind": kind, "overflow": overflow, **options}
    if kind == "buffered":
        wanted["capacity"] = capacity
    if ttl_ms := wanted.pop("ttl_ms", 0):
        wanted["ttl"] = ttl_ms / 1000
    if wanted.pop("ack_required", False):
        wanted["ack"] = "required"
    return wanted


def outcome_of(reply: Reply) -> Outcome:
    items = reply.get(_wire.ATTR_ITEM, [])
    elements = [item[_wire.ATTR_ELEMENT] for item in items] if items else list(reply.elements)
    first = items[0] if items else {}
    return Outcome(
        code=reply.result or 0,
        data=elements[0] if elements else None,
        index=reply.get(_wire.ATTR_INDEX, -1),
        dropped=reply.get(_wire.ATTR_DROPPED),
        attempts=first.get(_wire.ATTR_REDELIVERED, 0),
        delivery=first.get(_wire.ATTR_DELIVERY_ID, 0),
        reason=reply.get(_wire.ATTR_REASON, ""),
        count=reply.get(_wire.ATTR_COUNT),
        items=tuple(elements),
        sender=sender_of(first),
    )


def sender_of(item: dict[int, Any]) -> tuple[int, int] | None:
    if _wire.ATTR_SENDER_UID not in item:
        return None
    return item[_wire.ATTR_SENDER_UID], item[_wire.ATTR_SENDER_PID]
