"""The trio client: one connection, shared by any number of tasks."""

from typing import TYPE_CHECKING, Any, Unpack

from trio.lowlevel import checkpoint

from kcoro_ipc import _wire
from kcoro_ipc.client.channel import Channel
from kcoro_ipc.client.connection import Connection
from kcoro_ipc.client.handle import Handle
from kcoro_ipc.client.link import Link
from kcoro_ipc.client.looking import Looking
from kcoro_ipc.client.selecting import select
from kcoro_ipc.client.watching import Watch
from kcoro_ipc.codecs import Codec, find_codec
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.lending import Lending
from kcoro_ipc.protocol.channels import (
    ChannelInfo,
    ChannelOptions,
    check_agrees,
    read_page,
    read_stats,
    rights_pairs,
    target_pair,
)
from kcoro_ipc.protocol.greeting import DaemonInfo, read_daemon_info
from kcoro_ipc.protocol.renewal import Origin, making, opening
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.requests import FOREVER_MS, TRY_MS
from kcoro_ipc.protocol.selects import Clause, Selected
from kcoro_ipc.protocol.waiters import WaiterInfo, read_waiters
from kcoro_ipc.protocol.waiting_files import FilesInfo, read_waiting_files
from kcoro_ipc.regions import Side
from kcoro_ipc.trio_errors import ConnectionLost

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot


class Client(Lending, Looking):
    """Made by `open_client`. Its channels and jobs end with it."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def _connection(self) -> Connection:
        return self._link.connection

    @property
    def _lender(self) -> Side:
        return self._link.lender

    @property
    def reconnects(self) -> int:
        """How often this client has connected again; only with `reconnect`."""
        return self._link.reconnects

    async def make_channel(
        self,
        name: str | None = None,
        *,
        codec: Codec | str | None = None,
        **options: Unpack[ChannelOptions],
    ) -> Channel:
        """Makes a channel, or opens the one of that name if every option given agrees with it.

        Without a name it is anonymous: known by its chan_id, gone with its last handle. Raises
        ChannelExists if it is there and differs (with `exclusive`: if it is there).
        """
        return await self._open(making(name, options), find_codec(codec))

    async def open_channel(
        self,
        name: str | int,
        *,
        wait: bool = False,
        existing: bool = False,
        codec: Codec | str | None = None,
        **options: Unpack[ChannelOptions],
    ) -> Channel:
        """Opens the channel of that name (or chan_id), making it first if it is not there.

        `wait`: somebody else makes it, wait for that. `existing`: NoSuchChannel if it is not
        there. An option that is given and does not agree raises ChannelExists.
        """
        if isinstance(name, str) and not (wait or existing):
            return await self.make_channel(name, codec=codec, **options)
        origin = opening(name, options, FOREVER_MS if wait else TRY_MS)
        channel = await self._open(origin, find_codec(codec))
        try:
            check_agrees(channel.info, options)
        except BaseException:
            await channel.aclose()
            raise
        return channel

    async def set_rights(
        self,
        target: str | int,
        *,
        mode: int | None = None,
        owner: int | None = None,
        group: int | None = None,
    ) -> None:
        """Changes mode, owner or group of a channel by name or chan_id; what is None stays.

        For its owner (groups the owner is in), root and the admin group (all), else AccessDenied.
        Handles that are open keep their rights.
        """
        pairs = rights_pairs(target, mode, owner, group)
        await self._control(_wire.CMD_SET_CONFIG, *pairs, label=str(target))

    async def close_channel(self, target: str | int) -> None:
        """As Channel.close, by name or chan_id and without a handle: for who may manage a channel
        and perhaps neither send nor receive."""
        await self._control(_wire.CMD_CHAN_CLOSE, target_pair(target), label=str(target))

    async def destroy_channel(self, target: str | int, reason: str = "") -> None:
        """As Channel.destroy, without a handle."""
        pairs = [target_pair(target), *([(_wire.ATTR_REASON, reason)] if reason else [])]
        await self._control(_wire.CMD_CHAN_DESTROY, *pairs, label=str(target))

    async def purge_channel(self, target: str | int) -> int:
        """As Channel.purge, without a handle; how many messages were dropped."""
        pair = target_pair(target)
        reply = await self._control(_wire.CMD_CHAN_PURGE, pair, label=str(target))
        count: int = reply.get(_wire.ATTR_COUNT)
        return count

    async def _open(self, origin: Origin, codec: Codec) -> Channel:
        connection, reply = await self._link.ask(origin.cmd, origin.pairs, origin.label)
        return Channel(Handle(self._link, connection, origin, reply), codec)

    async def list_channels(self) -> list[ChannelInfo]:
        """The channels that this user may see. Made or destroyed meanwhile: seen or not seen."""
        found: list[ChannelInfo] = []
        cursor: bytes | None = b""
        while cursor is not None:
            pairs = [(_wire.ATTR_CURSOR, cursor)] if cursor else []
            page, cursor = read_page(await self._control(_wire.CMD_LIST, *pairs))
            found += page
        return found

    async def statistics(self, target: str | int) -> "ChannelSnapshot":
        """The counters of a channel by name or chan_id; asking takes no handle on it."""
        from kcoro_ipc.metrics import snapshot

        label = str(target)
        reply = await self._control(_wire.CMD_GET_STATS, target_pair(target), label=label)
        name = target if isinstance(target, str) else None
        known = target if isinstance(target, int) else reply.get(_wire.ATTR_CHAN_ID)
        return snapshot(read_stats(reply), known, name)

    def watch(self, target: str | int, interval: float) -> Watch:
        """Snapshots of a channel by name or chan_id every `interval` seconds, at least 0.1:
        `async with client.watch("jobs", 1) as snapshots: async for snapshot in snapshots: ...`.
        Takes no handle on it."""
        return Watch(self._connection, target, interval)

    async def list_waiters(self, target: str | int) -> list[WaiterInfo]:
        """Who waits at a channel, by name or chan_id: senders, then receivers, in their order."""
        found: list[WaiterInfo] = []
        cursor: bytes | None = b""
        while cursor is not None:
            pairs = [target_pair(target), (_wire.ATTR_FLAGS, _wire.FLAG_STATS_WAITERS)]
            pairs += [(_wire.ATTR_CURSOR, cursor)] if cursor else []
            reply = await self._control(_wire.CMD_GET_STATS, *pairs, label=str(target))
            page, cursor = read_waiters(reply)
            found += page
        return found

    async def list_files(self, target: str | int) -> list[FilesInfo]:
        """The open files that wait in a channel, by message, the oldest first."""
        found: list[FilesInfo] = []
        cursor: bytes | None = b""
        while cursor is not None:
            pairs = [target_pair(target), (_wire.ATTR_FLAGS, _wire.FLAG_STATS_FILES)]
            pairs += [(_wire.ATTR_CURSOR, cursor)] if cursor else []
            reply = await self._control(_wire.CMD_GET_STATS, *pairs, label=str(target))
            page, cursor = read_waiting_files(reply)
            found += page
        return found

    async def info(self) -> DaemonInfo:
        """What the daemon is: versions, frame limit, pid, uid."""
        return read_daemon_info(await self._control(_wire.CMD_GET_INFO))

    async def metrics(self) -> str:
        """The daemon's numbers as OpenMetrics text: all of them for root and the user it runs as,
        for others the channels that they may see, as they are now."""
        text = b""
        cursor: bytes | None = b""
        while cursor is not None:
            pairs = [(_wire.ATTR_CURSOR, cursor)] if cursor else []
            reply = await self._control(_wire.CMD_METRICS, *pairs)
            text += reply.get(_wire.ATTR_TEXT, b"")
            cursor = reply.get(_wire.ATTR_CURSOR, None)
        return text.decode()

    async def ping(self) -> None:
        """Returns when the daemon has answered."""
        await self._control(_wire.CMD_PING)

    async def select(self, *clauses: Clause, biased: bool = False) -> Selected:
        """Waits until exactly one clause takes effect, and says which.

        A clause on a closed channel is ready too: its error is raised and carries `index`. Of
        several that are ready one is drawn, each as likely as another; `biased` takes the first in
        the order given.
        """
        return await self._select(clauses, FOREVER_MS, biased)

    async def try_select(self, *clauses: Clause, biased: bool = False) -> Selected:
        """As `select`, but WouldBlock if no clause can take effect at once."""
        return await self._select(clauses, TRY_MS, biased)

    async def _select(self, clauses: tuple[Clause, ...], timeout_ms: int, biased: bool) -> Selected:
        while True:
            for clause in clauses:
                await self._check_clause(clause)
            connection = self._connection
            try:
                index, value = await select(connection, clauses, timeout_ms, biased)
            except ConnectionLost as error:
                self._link.judge(error, "select")
                await self._link.renew(connection)
                continue
            return Selected(index, clauses[index].channel, value)

    async def _check_clause(self, clause: Clause) -> None:
        """Its handle is one of this client, opened again if need be."""
        if clause.channel.client_link is not self._link:
            raise InvalidArgument("a select takes channels of one client; open this one there")
        handle: Any = clause.handle
        if handle.connection.ended and self._link.renews:
            await handle.live(handle.connection)

    async def aclose(self) -> None:
        """Ends the connection: whoever still waits gets ClosedResourceError. Idempotent."""
        self._link.close()
        await checkpoint()

    async def _control(self, cmd: int, *pairs: tuple[int, Any], label: str | None = None) -> Reply:
        _, reply = await self._link.ask(cmd, list(pairs), label)
        return reply
