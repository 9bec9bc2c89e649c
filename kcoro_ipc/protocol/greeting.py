"""What the daemon says about itself: in its HELLO, and when asked with GET_INFO."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.errors import ProtocolError, QuotaExceeded, VersionMismatch
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply


class DaemonInfo(NamedTuple):
    """`max_frame_bytes`: the longest payload it accepts on this connection; `usage`: what this
    user has there at the moment (connections, channels, regions, leases, files, ...)."""

    abi_major: int
    abi_minor: int
    max_frame_bytes: int
    pid: int
    uid: int
    usage: Mapping[str, int] = MappingProxyType({})


class Quota(NamedTuple):
    """A limit that the daemon told beforehand, so that nothing is prepared that it would refuse."""

    limit: int
    name: str
    setting: str

    def refusal(self, usage: int) -> QuotaExceeded:
        return QuotaExceeded(quota=self.name, limit=self.limit, usage=usage, setting=self.setting)


class Greeting(NamedTuple):
    """What a connection is bound by: the longest payload, what the daemon is able to do, and how
    much memory one user may share (None: it does not say)."""

    max_frame_bytes: int
    caps: int = 0
    region_quota: Quota | None = None


def check_greeting(reply: Reply) -> Greeting:
    """What the daemon agreed to; VersionMismatch or the daemon's refusal."""
    if reply.cmd != _wire.CMD_HELLO:
        raise failure_of(reply) if reply.result else ProtocolError("the daemon did not say HELLO")
    if reply.result:
        raise failure_of(reply)
    major, minor = reply.get(_wire.ATTR_ABI_MAJOR), reply.get(_wire.ATTR_ABI_MINOR)
    if (major, minor) != (_wire.ABI_MAJOR, _wire.ABI_MINOR):
        raise VersionMismatch(
            f"the daemon speaks ABI {major}.{minor}, this client needs "
            f"{_wire.ABI_MAJOR}.{_wire.ABI_MINOR}; upgrade the older side"
        )
    return Greeting(_frame_limit(reply), reply.get(_wire.ATTR_CAPS), _region_quota(reply))


def _region_quota(reply: Reply) -> Quota | None:
    limit = reply.get(_wire.ATTR_QUOTA_LIMIT, None)
    if limit is None:
        return None
    name, setting = reply.get(_wire.ATTR_QUOTA_NAME), reply.get(_wire.ATTR_QUOTA_SETTING)
    return Quota(limit, name, setting)


def read_daemon_info(reply: Reply) -> DaemonInfo:
    return DaemonInfo(
        abi_major=reply.get(_wire.ATTR_ABI_MAJOR),
        abi_minor=reply.get(_wire.ATTR_ABI_MINOR),
        max_frame_bytes=_frame_limit(reply),
        pid=reply.get(_wire.ATTR_SENDER_PID),
        uid=reply.get(_wire.ATTR_SENDER_UID),
        usage={
            item.get(_wire.ATTR_NAME, ""): item.get(_wire.ATTR_VALUE, 0)
            for item in reply.get(_wire.ATTR_ITEM, [])
        },
    )


def _frame_limit(reply: Reply) -> int:
    limit: int = reply.get(_wire.ATTR_MAX_FRAME, _wire.MAX_FRAME_BYTES)
    return min(limit, _wire.MAX_FRAME_BYTES)
