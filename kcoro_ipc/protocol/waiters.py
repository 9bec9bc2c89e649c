"""Who waits in a channel, as GET_STATS with FLAGS waiters tells it."""

from typing import TYPE_CHECKING, NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.protocol.replies import Reply

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot

SIDE_NAMES = {_wire.WAITER_SENDS: "send", _wire.WAITER_RECEIVES: "receive"}


class WaiterInfo(NamedTuple):
    """One parked operation. `client`, `uid`, `pid` and `conn` are None when its connection is gone,
    or is another user's and the asker does not manage the channel.

    `status` is the daemon's word for the state of its token, "enqueued" as a rule. The arms of one
    select share `token`. `limit_ms`: when it gives up by itself, None if never.
    """

    side: str
    status: str
    age_ns: int
    uid: int | None = None
    pid: int | None = None
    client: str | None = None
    conn: int | None = None
    token: int = 0
    limit_ms: int | None = None


class Looked(NamedTuple):
    """A channel at one moment: its counters, and who has waited longest, if anybody waits."""

    snapshot: "ChannelSnapshot"
    oldest: WaiterInfo | None


def read_waiters(reply: Reply) -> tuple[list[WaiterInfo], bytes | None]:
    """One page, senders before receivers, each in queue order; the cursor asks for the next."""
    found = [
        WaiterInfo(
            side=SIDE_NAMES.get(item.get(_wire.ATTR_WAITER_SIDE, 0), "unknown"),
            status=item.get(_wire.ATTR_WAITER_STATUS, ""),
            age_ns=item.get(_wire.ATTR_AGE_NS, 0),
            uid=item.get(_wire.ATTR_SENDER_UID),
            pid=item.get(_wire.ATTR_SENDER_PID),
            client=item.get(_wire.ATTR_CLIENT_NAME),
            conn=item.get(_wire.ATTR_VALUE),
            token=item.get(_wire.ATTR_TOKEN, 0),
            limit_ms=item.get(_wire.ATTR_TIMEOUT_MS),
        )
        for item in reply.get(_wire.ATTR_ITEM, [])
    ]
    return found, reply.get(_wire.ATTR_CURSOR, None)
