"""What the blocking client can be asked about others: who is there, who waits, what passes.

A part of Client; nothing here takes a handle, but `tap`, whose channel is the asker's own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kcoro_ipc import _wire
from kcoro_ipc.blocking.channel import Channel
from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection
from kcoro_ipc.errors import KC_ECANCELED, KC_ENOENT
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.channels import ChannelInfo, read_page, target_pair
from kcoro_ipc.protocol.connections import (
    ConnectionDetail,
    ConnectionInfo,
    HolderInfo,
    read_connections,
    read_detail,
    read_holders,
)
from kcoro_ipc.protocol.looks import LOOK, looked
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.renewal import Origin
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.taps import TapCodec, tap_pairs
from kcoro_ipc.protocol.waiters import Looked, WaiterInfo, read_waiters

T = TypeVar("T")
Page = tuple[list[T], bytes | None]
AT_ONCE = 32  # requests of a batch that are under way together


class Looking(ABC):
    _control: Callable[..., Reply]
    _open: Callable[..., Channel]

    @property
    @abstractmethod
    def _connection(self) -> Connection: ...

    def list_holders(self, target: str | int) -> list[HolderInfo]:
        """The connections with a handle of a channel, by name or chan_id, the oldest first."""
        flags = (_wire.ATTR_FLAGS, _wire.FLAG_STATS_HOLDERS)
        return self._all(
            _wire.CMD_GET_STATS, read_holders, target_pair(target), flags, label=str(target)
        )

    def list_connections(self) -> list[ConnectionInfo]:
        """The connections of this user (root: all), the oldest first."""
        return self._all(_wire.CMD_CONNECTIONS, read_connections)

    def look_in(self, target: str | int) -> tuple[list[WaiterInfo], list[HolderInfo]]:
        """The first of those who wait at a channel and of those who have handles: a page each."""
        pair = target_pair(target)
        waiters = (_wire.ATTR_FLAGS, _wire.FLAG_STATS_WAITERS)
        holders = (_wire.ATTR_FLAGS, _wire.FLAG_STATS_HOLDERS)
        waiting = self._control(_wire.CMD_GET_STATS, pair, waiters, label=str(target))
        holding = self._control(_wire.CMD_GET_STATS, pair, holders, label=str(target))
        return read_waiters(waiting)[0], read_holders(holding)[0]

    def look_at(self, conn: int, pages: int | None = None) -> ConnectionDetail:
        """One connection: its handles, what it waits for, what it holds. NoSuchChannel if it is
        gone or another user's. `pages`: no more than so many answers, if there are more."""
        found = self._all(
            _wire.CMD_CONNECTIONS,
            lambda reply: ([reply], reply.get(_wire.ATTR_CURSOR, None)),
            (_wire.ATTR_VALUE, conn),
            pages=pages,
        )
        return read_detail(found)

    def list_some(self, after: bytes | None = None, most: int = 256) -> Page[ChannelInfo]:
        """One page of `list_channels`, and where the next begins (None: that was the last)."""
        more = [(_wire.ATTR_CURSOR, after)] if after else []
        pairs = [(_wire.ATTR_MAX_ITEMS, most), *more]
        return read_page(self._control(_wire.CMD_LIST, *pairs))

    def look_over(self, chan_ids: Sequence[int]) -> list[Looked | None]:
        """As `statistics`, of many channels and with the one that has waited longest, some requests
        at once; None for one that is gone."""
        found: list[Looked | None] = []
        for start in range(0, len(chan_ids), AT_ONCE):
            some = chan_ids[start : start + AT_ONCE]
            for chan_id, reply in zip(some, self._batch(some), strict=True):
                if reply.result in (KC_ENOENT, KC_ECANCELED):
                    found.append(None)
                elif reply.result:
                    raise failure_of(reply, channel=str(chan_id))
                else:
                    found.append(looked(reply, chan_id))
        return found

    def _batch(self, chan_ids: Sequence[int]) -> list[Reply]:
        batch = []
        for chan_id in chan_ids:
            req_id = self._connection.new_id()
            pairs = ((_wire.ATTR_CHAN_ID, chan_id), *LOOK)
            batch.append((req_id, requests.control(_wire.CMD_GET_STATS, req_id, pairs)))
        return self._connection.request_batch(batch, CONTROL_SECONDS)

    def tap(
        self, target: str | int, *, capacity: int = 1024, most_bytes: int | None = None
    ) -> Channel:
        """A channel of `Tapped` copies of what passes `target` from now on.

        It never slows `target`: above `capacity` copies the oldest goes (drops_oldest of the tap).
        `most_bytes`: of each message, from its beginning. Managers of `target` may do this. It ends
        when it is closed here, and with `target`.
        """
        chan_id = target
        if not isinstance(target, int):
            answer = self._control(_wire.CMD_GET_STATS, target_pair(target), label=target)
            chan_id = answer.get(_wire.ATTR_CHAN_ID)
        pairs = tap_pairs(int(chan_id), capacity, most_bytes)
        origin = Origin(_wire.CMD_CHAN_MAKE, None, pairs, {}, timeout=CONTROL_SECONDS)
        return self._open(origin, TapCodec())

    def _all(
        self,
        cmd: int,
        read: Callable[[Reply], Page[T]],
        *pairs: tuple[int, Any],
        label: str | None = None,
        pages: int | None = None,
    ) -> list[T]:
        """Every page of an answer, or the first few."""
        found: list[T] = []
        cursor: bytes | None = b""
        while cursor is not None and pages != 0:
            pages = None if pages is None else pages - 1
            more = [(_wire.ATTR_CURSOR, cursor)] if cursor else []
            page, cursor = read(self._control(cmd, *pairs, *more, label=label))
            found += page
        return found
