"""Takes the picture that monitor/waits.py judges, by asking the daemon.

It asks about those who wait and what they wait for, so the cost follows the number of connections
that wait, not that of channels. The parts are not of one moment: `waits.still` compares two.
"""

from typing import TYPE_CHECKING

from kcoro_ipc.errors import NoSuchChannel, OperationCancelled
from kcoro_ipc.monitor.waits import Party, Picture, Place, Wait
from kcoro_ipc.protocol.channels import ChannelInfo
from kcoro_ipc.protocol.connections import ConnectionDetail, HolderInfo, OperationInfo

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Client

GONE = (NoSuchChannel, OperationCancelled)


class Survey:
    """One picture in the making."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._parties: dict[int, Party] = {}
        self._places: dict[int, Place] = {}
        self._channels: list[int] = []

    def of_all(self) -> Picture:
        """Everybody that may be seen and waits."""
        for info in self._client.list_connections():
            if info.numbers.get("parked"):
                self._look_at(info.conn)
        return self._finish()

    def of_channel(self, chan_id: int) -> Picture:
        """The channel, who waits there, and whoever that leads to."""
        self._channels.append(chan_id)
        return self._finish()

    def _finish(self) -> Picture:
        while self._channels:
            chan_id = self._channels.pop()
            if chan_id not in self._places:
                self._look_in(chan_id)
        return Picture(self._parties, self._places)

    def _look_at(self, conn: int) -> None:
        if conn in self._parties:
            return
        try:
            detail = self._client.look_at(conn)
        except GONE:
            return
        self._parties[conn] = party_of(detail)
        self._channels += [wait.chan_id for wait in self._parties[conn].waits]

    def _look_in(self, chan_id: int) -> None:
        try:
            waiters = self._client.list_waiters(chan_id)
            holders = self._client.list_holders(chan_id)
            found, _ = self._client.list_some(before(chan_id), most=1)
        except GONE:
            return
        self._places[chan_id] = place_of(chan_id, name_in(found, chan_id), holders)
        for holder in holders:
            self._meet(holder)
        for waiter in waiters:
            if waiter.conn is not None:
                self._look_at(waiter.conn)

    def _meet(self, holder: HolderInfo) -> None:
        """A holder of another user is known by name, but not what it does elsewhere."""
        if holder.conn is None:
            return
        self._look_at(holder.conn)
        known = Party(holder.conn, holder.pid, holder.client, holder.uid)
        self._parties.setdefault(holder.conn, known)


def name_in(found: list[ChannelInfo], chan_id: int) -> str | None:
    return next((info.name for info in found if info.chan_id == chan_id), None)


def before(chan_id: int) -> bytes:
    """The cursor of LIST in front of a channel: its page begins with it."""
    return (chan_id - 1).to_bytes(4, "big")


def party_of(detail: ConnectionDetail) -> Party:
    info = detail.info
    return Party(
        info.conn,
        info.pid,
        info.client,
        info.uid,
        tuple(_wait(one) for one in detail.waiting if one.chan_id),
    )


def _wait(one: OperationInfo) -> Wait:
    return Wait(one.chan_id, one.side, one.token, one.age_ns, one.limit_ms is not None, one.status)


def place_of(chan_id: int, name: str | None, holders: list[HolderInfo]) -> Place:
    known = {one.conn: frozenset(one.rights) for one in holders if one.conn is not None}
    strangers = [one for one in holders if one.conn is None]
    unknown = {
        right: sum(right in one.rights for one in strangers) for right in ("send", "receive")
    }
    return Place(chan_id, name, known, unknown)
