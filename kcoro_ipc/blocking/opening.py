"""Opening a client: `open_client`."""

import os

from kcoro_ipc.blocking.client import Client
from kcoro_ipc.blocking.dialing import Dialer
from kcoro_ipc.blocking.link import Link
from kcoro_ipc.protocol.renewal import RECONNECT_SECONDS
from kcoro_ipc.regions import INLINE_BELOW, POOL_BYTES, ZERO_COPY_FROM, Settings


def open_client(
    path: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    connect_timeout: float = 10.0,
    cancel_grace: float = 5.0,
    zero_copy_from: int | None = ZERO_COPY_FROM,
    inline_below: int | None = INLINE_BELOW,
    pool_bytes: int = POOL_BYTES,
    fallback: bool = True,
    reconnect: bool = False,
    reconnect_timeout: float = RECONNECT_SECONDS,
) -> Client:
    """A connection to the daemon; close it with `aclose`, or use it in a `with` block.

    `path` is PATH, stream:PATH or seqpacket:PATH; without it $KCORO_SOCKET counts, else the first
    path that exists of the user's and the system's. `name` is how the daemon's log calls this
    client. Raises NoDaemon if nobody answers within `connect_timeout` seconds. A reply that is
    overdue by `cancel_grace` seconds means that the connection is broken.

    With `reconnect` a daemon that is not there is waited for up to `reconnect_timeout` seconds, now
    and by whatever is asked for after a connection was lost; docs/API.md says what becomes of
    what was under way.

    Bytes from `zero_copy_from` on are copied into shared memory instead of the socket, loans below
    `inline_below` into the socket instead (None: never); `pool_bytes` bounds the shared memory.
    What finds none left goes through the socket; without `fallback` it raises PoolExhausted.
    """
    settings = Settings(zero_copy_from, inline_below, pool_bytes, fallback)
    keep_trying = reconnect_timeout if reconnect else 0.0
    dialer = Dialer(path, name, connect_timeout, cancel_grace, settings, keep_trying)
    return Client(Link(dialer, reconnect))
