"""A broker without engine and sockets: a request goes in as bytes, its answer comes out by name.

The engine and the pump are stand-ins that write down what was done to them; the real ones are
tested through the daemon (tests/e2e).
"""

from typing import Any

from kcoro_ipc import _wire, control, frames
from kcoro_ipc.broker import Broker
from kcoro_ipc.control import Then
from kcoro_ipc.pump import STREAM
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import Peer
from kcoro_ipc.registry import Registry
from kcoro_ipc.reports import Closed, ConnectionInfo, Control, Share
from kcoro_ipc.structs import ChannelConfig, Waiter, WaitingFiles

OWNER, STRANGER, ROOT = 1000, 1002, 0
READ, WRITE = _wire.FLAG_CHAN_READ, _wire.FLAG_CHAN_WRITE
EPHEMERAL, EXCLUSIVE = _wire.FLAG_CHAN_EPHEMERAL, _wire.FLAG_CHAN_EXCLUSIVE
LAST_SENDER, FIXED = _wire.FLAG_CHAN_CLOSE_ON_LAST_SENDER, _wire.FLAG_CHAN_FIXED_SIZE


class Engine:
    def __init__(self) -> None:
        self.made: list[ChannelConfig] = []
        self.done: list[tuple[str, int]] = []
        self.refuse_make: Exception | None = None
        self.refuse_tap: Exception | None = None
        self.paid_files = 0
        self.waiters: list[Waiter] = []
        self.holding: list[Waiter] = []
        self.files: list[WaitingFiles] = []
        self.freed_accounts: list[int] = []
        self.stats: dict[int, list[int]] = {}  # by CHAN_ID and STAT_ID

    def account_make(self, uid: int, **limits: int) -> int:
        return 500

    def account_usage(self, account: int) -> dict[str, int]:
        return {"parked": 1, "held": 2, "bytes": 3, "files": self.paid_files, "messages": 5}

    def chan_files(self, chan: int, skip: int, most: int) -> list[WaitingFiles]:
        return self.files[skip : skip + most]

    def account_free(self, account: int) -> None:
        self.freed_accounts.append(account)

    def chan_make(self, config: ChannelConfig) -> int:
        if self.refuse_make:
            raise self.refuse_make
        self.made.append(config)
        return 70_000 + config.user

    def chan_close(self, chan: int) -> int:
        self.done.append(("close", chan - 70_000))
        return 0

    def chan_destroy(self, chan: int, reason: int, text: str) -> int:
        self.done.append((f"destroy: {text}", chan - 70_000))
        return 0

    def chan_drop(self, chan: int) -> int:
        self.done.append(("drop", chan - 70_000))
        return 0

    def chan_purge(self, chan: int) -> int:
        return 3

    def chan_reason(self, chan: int) -> str:
        return "enough"

    def chan_stats(self, chan: int) -> tuple[int, ...]:
        return tuple(self.stats.get(chan - 70_000, range(100, 101 + len(_wire.STAT_NAMES))))

    def usage(self) -> dict[str, int]:
        pools = ("channels", "tokens", "clauses", "messages", "accounts", "regions", "files")
        return dict.fromkeys((*pools, "block_bytes", "heap_bytes"), 7)

    def chan_waiters(self, chan: int, dir: int, skip: int, most: int) -> list[Waiter]:
        return [waiter for waiter in self.waiters if waiter.dir == dir][skip : skip + most]

    def chan_tap(self, source: int, tap: int) -> None:
        if self.refuse_tap:
            raise self.refuse_tap
        self.done.append((f"tap of {source - 70_000}", tap - 70_000))

    def scope_list(self, scope: int, held: bool, skip: int, most: int) -> list[Waiter]:
        return (self.holding if held else self.waiters)[skip : skip + most]

    def scope_count(self, scope: int, held: bool, chan: int = 0) -> int:
        return len(self.holding if held else self.waiters)


class Pump:
    def __init__(self) -> None:
        self.grants: dict[tuple[int, int], int] = {}
        self.finished: list[tuple[int, dict[str, Any]]] = []
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.refuse_grant = 0
        self.said = 0  # bytes of events
        self.read = 0  # of these, by the peer
        self.deaf = False
        self.shares: dict[int, Share] = {}
        self.asked = 0  # how often anything about connections

    def grant(self, conn: int, chan_id: int, chan: int, rights: int) -> int:
        self.grants[conn, chan_id] = rights
        return self.refuse_grant

    def finish(self, conn: int, req_id: int, frame: bytes) -> int:
        self.finished.append((conn, read(frame)))
        return 0

    def event(self, conn: int, frame: bytes) -> int:
        self.events.append((conn, read(frame)))
        self.said += len(frame)
        self.info(conn)
        return 0

    def conn_of_waiter(self, user: int) -> int:
        return user

    def share(self, account: int) -> Share:
        self.asked += 1
        return self.shares.get(account, Share(0, 0, 0))

    def info(self, conn: int) -> ConnectionInfo:
        """Every peer has read all, or is deaf."""
        self.asked += 1
        if not self.deaf:
            self.read = self.said
        nothing = ConnectionInfo(*[0] * len(ConnectionInfo._fields))
        return nothing._replace(bytes_out=self.read, queued_bytes=self.said - self.read)


def read(frame: bytes, minor: int = 1) -> dict[str, Any]:
    """The command's name and every attribute by name; those that repeat as lists."""
    cmd = int.from_bytes(frame[:2])
    assert int.from_bytes(frame[4:8]) == len(frame) - 8
    found: dict[str, Any] = {"cmd": _wire.COMMAND_NAMES.get(cmd, cmd)}
    return found | named(frames.parse_payload(frame[8:], minor))


def named(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in pairs:
        name = _wire.ATTRIBUTE_NAMES[number]
        if number in _wire.REPEATABLE:
            found.setdefault(name, []).append(named(value))
        else:
            found[name] = value
    return found


class House:
    """A broker with a clock of its own, peers that greeted, and one call per request."""

    def __init__(self, **limits: int) -> None:
        self.engine, self.pump, self.now_ns = Engine(), Pump(), 0
        self.registry = Registry(Limits(**limits))
        stand_ins: Any = (self.engine, self.pump)
        self.broker = Broker(*stand_ins, self.registry, lambda: self.now_ns)
        self.last: control.Outcome | None = None

    def connect(self, uid: int = OWNER, transport: int = STREAM) -> Peer:
        conn = len(self.registry.peers) + 1
        user = self.broker.user(uid)
        peer = Peer(
            conn, user, gid=uid, groups=frozenset({uid}), pid=conn * 10, transport=transport
        )
        self.broker.join(peer)
        return peer

    def peer(self, uid: int = OWNER, minor: int = 1, transport: int = STREAM) -> Peer:
        peer = self.connect(uid, transport)
        self.ask(peer, "HELLO", ABI_MAJOR=1, ABI_MINOR=minor, CLIENT_NAME="test")
        return peer

    def ask(self, peer: Peer, command: str | int, req_id: int = 5, **attributes: Any) -> Any:
        """The answer, or None when the request was let go."""
        cmd = command if isinstance(command, int) else getattr(_wire, f"CMD_{command}")
        ungranted = attributes.pop("ungranted", False)
        greeted = attributes.pop("greeted", cmd != _wire.CMD_HELLO)
        pairs = [] if cmd == _wire.CMD_HELLO or not req_id else [(_wire.ATTR_REQ_ID, req_id)]
        pairs += [(getattr(_wire, f"ATTR_{key}"), value) for key, value in attributes.items()]
        return self.feed(peer, cmd, frames.build_payload(pairs, peer.minor), ungranted, greeted)

    def feed(
        self, peer: Peer, cmd: int, payload: bytes, ungranted: bool = False, greeted: bool = True
    ) -> Any:
        minor = peer.minor if greeted else 0
        asked = Control(peer.conn, cmd, minor, 0, greeted, ungranted, 0, payload)
        self.last = control.serve(self.broker, asked)
        return read(self.last.frame, peer.minor) if self.last.then is Then.REPLY else None

    def leave(self, peer: Peer) -> None:
        self.broker.depart(Closed(peer.conn, 0, 0, 0, 0, 0, 0, 0))


def refused(answer: dict[str, Any], code: int) -> bool:
    return bool(answer["RESULT"] == code and answer["REQ_ID"] == 5)
