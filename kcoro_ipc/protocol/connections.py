"""Who is connected: the answers to CONNECTIONS, and the holders that GET_STATS tells of."""

from struct import Struct
from typing import Any, NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.waiters import SIDE_NAMES

RIGHT_NAMES = {_wire.FLAG_CHAN_READ: "receive", _wire.FLAG_CHAN_WRITE: "send"}
TRANSPORTS = {0: "stream", 1: "seqpacket"}
_NUMBER = Struct(">Q")


class ConnectionInfo(NamedTuple):
    """One connection. `numbers`: those of docs/PROTOCOL.md that this daemon tells, by name."""

    conn: int
    uid: int
    pid: int
    client: str | None
    numbers: dict[str, int]

    @property
    def age_ns(self) -> int:
        return self.numbers.get("age_ns", 0)

    @property
    def transport(self) -> str:
        return TRANSPORTS.get(self.numbers.get("transport", 0), "unknown")

    def as_dict(self) -> dict[str, Any]:
        rest = {"conn": self.conn, "uid": self.uid, "pid": self.pid, "client": self.client}
        return {**rest, **self.numbers, "transport": self.transport}


class HandleInfo(NamedTuple):
    """A handle of a connection. `rights`: "receive", "send"."""

    chan_id: int
    name: str | None
    rights: tuple[str, ...]


class OperationInfo(NamedTuple):
    """What a connection waits for or holds. The arms of one select share `token`.

    `status` is the daemon's word: "enqueued" waits, "taken" waits for its acknowledgement,
    "claimed" holds a message, "opening" waits for a name (then chan_id is 0). `limit_ms`: when it
    gives up by itself, None if never.
    """

    chan_id: int
    name: str | None
    side: str
    status: str
    age_ns: int
    token: int
    limit_ms: int | None


class ConnectionDetail(NamedTuple):
    info: ConnectionInfo
    handles: tuple[HandleInfo, ...]
    waiting: tuple[OperationInfo, ...]
    holding: tuple[OperationInfo, ...]


class HolderInfo(NamedTuple):
    """A connection with a handle of a channel; `held`: messages of it that it has. Its number, uid,
    pid and client are None where the asker may not know them."""

    rights: tuple[str, ...]
    held: int
    conn: int | None = None
    uid: int | None = None
    pid: int | None = None
    client: str | None = None


def read_connections(reply: Reply) -> tuple[list[ConnectionInfo], bytes | None]:
    found = [_connection(item) for item in reply.get(_wire.ATTR_ITEM, [])]
    return found, reply.get(_wire.ATTR_CURSOR, None)


def read_holders(reply: Reply) -> tuple[list[HolderInfo], bytes | None]:
    found = [
        HolderInfo(
            _rights(item),
            item.get(_wire.ATTR_COUNT, 0),
            item.get(_wire.ATTR_VALUE),
            item.get(_wire.ATTR_SENDER_UID),
            item.get(_wire.ATTR_SENDER_PID),
            item.get(_wire.ATTR_CLIENT_NAME),
        )
        for item in reply.get(_wire.ATTR_ITEM, [])
    ]
    return found, reply.get(_wire.ATTR_CURSOR, None)


def read_detail(pages: list[Reply]) -> ConnectionDetail:
    """From the pages of one CONNECTIONS with VALUE."""
    items = [item for page in pages for item in page.get(_wire.ATTR_ITEM, [])]
    named = [item for item in items if _wire.ATTR_WAITER_STATUS in item]
    operations = [_operation(item) for item in named]
    return ConnectionDetail(
        _connection(pages[0].attributes),
        tuple(_handle(item) for item in items if _wire.ATTR_FLAGS in item),
        tuple(one for one in operations if one.status != "claimed"),
        tuple(one for one in operations if one.status == "claimed"),
    )


def _connection(item: Any) -> ConnectionInfo:
    packed = item.get(_wire.ATTR_NUMBERS, b"")
    values = [value for (value,) in _NUMBER.iter_unpack(packed[: len(packed) // 8 * 8])]
    return ConnectionInfo(
        item.get(_wire.ATTR_VALUE, 0),
        item.get(_wire.ATTR_SENDER_UID, 0),
        item.get(_wire.ATTR_SENDER_PID, 0),
        item.get(_wire.ATTR_CLIENT_NAME),
        dict(zip(_wire.CONNECTION_NUMBERS, values, strict=False)),
    )


def _rights(item: Any) -> tuple[str, ...]:
    flags = item.get(_wire.ATTR_FLAGS, 0)
    return tuple(name for bit, name in RIGHT_NAMES.items() if flags & bit)


def _handle(item: Any) -> HandleInfo:
    return HandleInfo(item.get(_wire.ATTR_CHAN_ID, 0), item.get(_wire.ATTR_NAME), _rights(item))


def _operation(item: Any) -> OperationInfo:
    return OperationInfo(
        item.get(_wire.ATTR_CHAN_ID, 0),
        item.get(_wire.ATTR_NAME),
        SIDE_NAMES.get(item.get(_wire.ATTR_WAITER_SIDE, 0), "unknown"),
        item.get(_wire.ATTR_WAITER_STATUS, ""),
        item.get(_wire.ATTR_AGE_NS, 0),
        item.get(_wire.ATTR_TOKEN, 0),
        item.get(_wire.ATTR_TIMEOUT_MS),
    )
