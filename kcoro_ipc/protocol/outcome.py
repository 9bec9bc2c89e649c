"""What a reply means: a value, or the exception that stands for its RESULT.

Clients pass their own table of exceptions (trio's have trio's names too).
"""

from kcoro_ipc import _wire
from kcoro_ipc.errors import ERRORS, ErrorTable, KcoroError, error_for
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
