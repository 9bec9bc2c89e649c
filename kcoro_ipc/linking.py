"""How a client comes to its connection and to the next one: what both clients have in common, and
nothing that waits."""

import os
from typing import Any

from kcoro_ipc.errors import ClosedResourceError, ConnectionLost
from kcoro_ipc.protocol.address import Address, find_address
from kcoro_ipc.protocol.renewal import what_is_known
from kcoro_ipc.regions import Settings, Side
from kcoro_ipc.regions.loan import Loans


class Dialing:
    """What `open_client` was asked for. `keep_trying` is for how many seconds a daemon that is not
    there is waited for (0: one attempt)."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        name: str | None,
        connect_timeout: float,
        cancel_grace: float,
        settings: Settings,
        keep_trying: float,
    ) -> None:
        find_address(path)  # a path that cannot be one is an error now
        self._path = path
        self._name = name
        self._connect_timeout = connect_timeout
        self._cancel_grace = cancel_grace
        self._settings = settings
        self._loans: Loans = {}
        self.keep_trying = keep_trying

    def _find(self) -> Address:
        """Where the daemon listens at this moment."""
        return find_address(self._path)


class Linking:
    """`renews`: whether a lost connection is followed by another; `reconnects` of them were."""

    _closed_error: type[ClosedResourceError] = ClosedResourceError
    connection: Any  # the client's own

    def __init__(self, reconnect: bool) -> None:
        self._lends: Side | None = None
        self.renews = reconnect
        self.reconnects = 0
        self._closed = False

    def judge(self, error: ConnectionLost, side: str) -> None:
        """Returns if the request that ended with this may be made again: nothing of it had left.
        Else the error is raised with what is known."""
        if error.in_doubt or not self.renews:
            raise what_is_known(error, side, self.renews) from None
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise self._closed_error("this client is closed; open another one")

    @property
    def lender(self) -> Side:
        """Where loans come from: without a connection, from memory that the next one will know. So
        a program that begins with a loan comes to the send that connects again."""
        side: Side = self.connection.side
        if self._closed or not (self.renews and self.connection.ended):
            return side
        if self._lends is None:
            self._lends = side.successor()
        return self._lends

    def _use(self, connection: Any) -> None:
        """From now on."""
        if self._lends is not None:
            connection.side.succeed(self._lends)
            self._lends = None
        self.connection = connection
        self._count()

    def _count(self) -> None:
        from logging import getLogger  # for who never needs it, not at the start

        self.reconnects += 1
        getLogger("kcoro_ipc").info("connected to the daemon again, time %d", self.reconnects)
