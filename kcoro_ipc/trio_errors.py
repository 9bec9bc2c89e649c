"""Our exceptions under trio's names too, where trio has a name for the same thing.

``except trio.EndOfChannel`` and ``except kcoro_ipc.errors.EndOfChannel`` both catch what a trio
client or an in-process channel raises. `TRIO_ERRORS` is the table these pass to `error_for`.

A lost connection and a destroyed channel are BrokenResourceError to trio: somebody else ended it.
"""

import trio

from kcoro_ipc import errors
from kcoro_ipc.errors import ERRORS, ErrorTable


class WouldBlock(errors.WouldBlock, trio.WouldBlock):
    pass


class ClosedResourceError(errors.ClosedResourceError, trio.ClosedResourceError):
    pass


class BusyResourceError(errors.BusyResourceError, trio.BusyResourceError):
    pass


class EndOfChannel(errors.EndOfChannel, trio.EndOfChannel):
    pass


class BrokenResourceError(errors.BrokenResourceError, trio.BrokenResourceError):
    pass


class ConnectionLost(errors.ConnectionLost, trio.BrokenResourceError):
    pass


class OperationCancelled(errors.OperationCancelled, trio.BrokenResourceError):
    """Not trio.Cancelled, which stays trio's own: this says that the channel was destroyed under
    the operation, or that the daemon is going away."""


TRIO_ERRORS: ErrorTable = ERRORS | {
    errors.KC_EAGAIN: WouldBlock,
    errors.KC_EBADF: ClosedResourceError,
    errors.KC_EBUSY: BusyResourceError,
    errors.KC_ECONNRESET: ConnectionLost,
    errors.KC_ECANCELED: OperationCancelled,
    (errors.KC_EPIPE, "receive"): EndOfChannel,
    (errors.KC_EPIPE, "send"): BrokenResourceError,
}
