"""What a reply means: a value, or the exception that stands for its RESULT.

Clients pass their own table of exceptions (trio's have trio's names too).
"""

from kcoro_ipc import _wire
from kcoro_ipc.errors import (
    ERRORS,
    ErrorTable,
    KcoroError,
    ProtocolError,
    VersionMismatch,
    error_for,
)
from kcoro_ipc.protocol.replies import Reply


def failure_of(
    reply: Reply,
    side: str = "",
    table: ErrorTable = ERRORS,
    channel: str | None = None,
    message: str = "",
) -> KcoroError:
    """The exception for a reply whose RESULT is negative, with all that the reply said.

    `side` is "send", "receive" or "ack", where the meaning of a code depends on it.
    """
    return error_for(
        reply.result or 0,
        message,
        side=side,
        table=table,
        channel=channel,
        reason=reply.get(_wire.ATTR_REASON, None),
        index=reply.get(_wire.ATTR_INDEX, None),
        quota=reply.get(_wire.ATTR_QUOTA_NAME, None),
        limit=reply.get(_wire.ATTR_QUOTA_LIMIT, None),
        usage=reply.get(_wire.ATTR_QUOTA_USAGE, None),
        setting=reply.get(_wire.ATTR_QUOTA_SETTING, None),
    )


def check_greeting(reply: Reply) -> int:
    """The largest payload the daemon accepts; VersionMismatch or the daemon's refusal."""
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
    limit: int = reply.get(_wire.ATTR_MAX_FRAME, _wire.MAX_FRAME_BYTES)
    return min(limit, _wire.MAX_FRAME_BYTES)
