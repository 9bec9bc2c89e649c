"""The open files that wait in a channel, as GET_STATS with FLAGS files tells of them."""

from typing import NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.protocol.replies import Reply


class FilesInfo(NamedTuple):
    """The files of one message that waits. `client`, `uid` and `pid` are its sender's, None when
    that connection is gone."""

    files: int
    age_ns: int
    uid: int | None = None
    pid: int | None = None
    client: str | None = None


def read_waiting_files(reply: Reply) -> tuple[list[FilesInfo], bytes | None]:
    """One page, the oldest message first; the cursor asks for the next."""
    found = [
        FilesInfo(
            files=item.get(_wire.ATTR_COUNT, 0),
            age_ns=item.get(_wire.ATTR_AGE_NS, 0),
            uid=item.get(_wire.ATTR_SENDER_UID),
            pid=item.get(_wire.ATTR_SENDER_PID),
            client=item.get(_wire.ATTR_CLIENT_NAME),
        )
        for item in reply.get(_wire.ATTR_ITEM, [])
    ]
    return found, reply.get(_wire.ATTR_CURSOR, None)
