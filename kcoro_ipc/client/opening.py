"""Opening a client: `async with open_client() as client`."""

import os
from types import TracebackType

import trio

from kcoro_ipc.client.client import Client
from kcoro_ipc.client.dialing import Dialer
from kcoro_ipc.client.link import Link
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
) -> "OpenClient":
    """A connection to the daemon, for `async with`.

    `path` is PATH, stream:PATH or seqpacket:PATH; without it $KCORO_SOCKET counts, else the first
    path that exists of the user's and the system's. `name` is how the daemon's log calls this
    client. Raises NoDaemon if nobody answers within `connect_timeout` seconds. A cancelled request
    must be answered within `cancel_grace` seconds, else the connection counts as broken, and a
    send under way is in doubt.

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
    return OpenClient(dialer, reconnect)


class OpenClient:
    """The context manager behind `open_client`. Not to be used twice.

    The body's own exceptions never pass through the nursery, so they arrive outside as they are
    and not in a group.
    """

    def __init__(self, dialer: Dialer, reconnect: bool) -> None:
        self._dialer = dialer
        self._reconnect = reconnect
        self._tasks = trio.open_nursery()

    async def __aenter__(self) -> Client:
        connection = await self._dialer.connect()
        nursery = await self._tasks.__aenter__()
        self._scope = nursery.cancel_scope
        self._link = Link(self._dialer, connection, nursery, self._reconnect)
        return Client(self._link)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._link.close()
        if self._scope.cancel_called:  # one of our own tasks failed: the group says how
            return await self._tasks.__aexit__(kind, error, traceback)
        await self._tasks.__aexit__(None, None, None)
        return False
