"""The blocking client: one connection, used by one thread at a time."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from kcoro_ipc import _wire
from kcoro_ipc.blocking.channel import Channel
from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection
from kcoro_ipc.blocking.handle import Handle
from kcoro_ipc.blocking.looking import Looking
from kcoro_ipc.blocking.selecting import select
from kcoro_ipc.blocking.timeouts import to_ms
from kcoro_ipc.blocking.watching import Watch
from kcoro_ipc.codecs import Codec, find_codec
from kcoro_ipc.errors import ERRORS, InvalidArgument, KcoroError
from kcoro_ipc.files import HasFileno
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.channels import (
    RIGHTS,
    ChannelInfo,
    ChannelOptions,
    check_agrees,
    flags_of,
    make_pairs,
    open_pairs,
    read_info,
    read_page,
    read_stats,
    rights_pairs,
    target_pair,
)
from kcoro_ipc.protocol.greeting import DaemonInfo, read_daemon_info
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.selects import Clause, Selected, winner
from kcoro_ipc.protocol.waiters import WaiterInfo, read_waiters
from kcoro_ipc.protocol.waiting_files import FilesInfo, read_waiting_files
from kcoro_ipc.regions import Lease, Loan

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot


class Client(Looking):
    """Made by `open_client`. Its channels and jobs end with it.

    Give each thread a client of its own: two at once get BusyResourceError.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def make_channel(
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
        found_codec = find_codec(codec)
        pairs = make_pairs(name, options)
        return self._open(_wire.CMD_CHAN_MAKE, pairs, name, options, found_codec, CONTROL_SECONDS)

    def open_channel(
        self,
        name: str | int,
        *,
        wait: bool = False,
        existing: bool = False,
        timeout: float | None = None,
        codec: Codec | str | None = None,
        **options: Unpack[ChannelOptions],
    ) -> Channel:
        """Opens the channel of that name (or chan_id), making it first if it is not there.

        `wait`: somebody else makes it, wait for that, `timeout` seconds at most (TimedOut).
        `existing`: NoSuchChannel if it is not there. An option that is given and does not agree
        raises ChannelExists.
        """
        if isinstance(name, str) and not (wait or existing):
            return self.make_channel(name, codec=codec, **options)
        found_codec = find_codec(codec)
        make_pairs(None, options)  # refuses what no channel can have, before anything is asked
        limit = timeout if wait else 0
        pairs = open_pairs(name, options, to_ms(limit))
        bound = limit if wait else CONTROL_SECONDS
        known = name if isinstance(name, str) else None
        channel = self._open(_wire.CMD_CHAN_OPEN, pairs, known, options, found_codec, bound)
        try:
            check_agrees(channel.info, options)
        except BaseException:
            channel.aclose()
            raise
        return channel

    def set_rights(
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
        self._control(_wire.CMD_SET_CONFIG, *pairs, label=str(target))

    def close_channel(self, target: str | int) -> None:
        """As Channel.close, by name or chan_id and without a handle: for who may manage a channel
        and perhaps neither send nor receive."""
        self._control(_wire.CMD_CHAN_CLOSE, target_pair(target), label=str(target))

    def destroy_channel(self, target: str | int, reason: str = "") -> None:
        """As Channel.destroy, without a handle."""
        pairs = [target_pair(target), *([(_wire.ATTR_REASON, reason)] if reason else [])]
        self._control(_wire.CMD_CHAN_DESTROY, *pairs, label=str(target))

    def purge_channel(self, target: str | int) -> int:
        """As Channel.purge, without a handle; how many messages were dropped."""
        pair = target_pair(target)
        reply = self._control(_wire.CMD_CHAN_PURGE, pair, label=str(target))
        count: int = reply.get(_wire.ATTR_COUNT)
        return count

    def list_channels(self) -> list[ChannelInfo]:
        """The channels that this user may see. Made or destroyed meanwhile: seen or not seen."""
        found: list[ChannelInfo] = []
        cursor: bytes | None = b""
        while cursor is not None:
            pairs = [(_wire.ATTR_CURSOR, cursor)] if cursor else []
            page, cursor = read_page(self._control(_wire.CMD_LIST, *pairs))
            found += page
        return found

    def statistics(self, target: str | int) -> "ChannelSnapshot":
        """The counters of a channel by name or chan_id; asking takes no handle on it."""
        from kcoro_ipc.metrics import snapshot

        reply = self._control(_wire.CMD_GET_STATS, target_pair(target), label=str(target))
        name = target if isinstance(target, str) else None
        known = target if isinstance(target, int) else reply.get(_wire.ATTR_CHAN_ID)
        return snapshot(read_stats(reply), known, name)

    def watch(self, target: str | int, interval: float) -> Watch:
        """Snapshots of a channel by name or chan_id every `interval` seconds, at least 0.1:
        `with client.watch("jobs", 1) as snapshots: for snapshot in snapshots: ...`.
        Takes no handle on it."""
        return Watch(self._connection, target, interval)

    def list_waiters(self, target: str | int) -> list[WaiterInfo]:
        """Who waits at a channel, by name or chan_id: senders, then receivers, in their order."""
        found: list[WaiterInfo] = []
        cursor: bytes | None = b""
        while cursor is not None:
            pairs = [target_pair(target), (_wire.ATTR_FLAGS, _wire.FLAG_STATS_WAITERS)]
            pairs += [(_wire.ATTR_CURSOR, cursor)] if cursor else []
            reply = self._control(_wire.CMD_GET_STATS, *pairs, label=str(target))
            page, cursor = read_waiters(reply)
            found += page
        return found

    def list_files(self, target: str | int) -> list[FilesInfo]:
        """The open files that wait in a channel, by message, the oldest first."""
        found: list[FilesInfo] = []
        cursor: bytes | None = b""
        while cursor is not None:
            pairs = [target_pair(target), (_wire.ATTR_FLAGS, _wire.FLAG_STATS_FILES)]
            pairs += [(_wire.ATTR_CURSOR, cursor)] if cursor else []
            reply = self._control(_wire.CMD_GET_STATS, *pairs, label=str(target))
            page, cursor = read_waiting_files(reply)
            found += page
        return found

    def info(self) -> DaemonInfo:
        """What the daemon is: versions, frame limit, pid, uid."""
        return read_daemon_info(self._control(_wire.CMD_GET_INFO))

    def metrics(self) -> str:
        """The daemon's numbers as OpenMetrics text: all of them for root and the user it runs as,
        for others the channels that they may see, as they are now."""
        text = b""
        cursor: bytes | None = b""
        while cursor is not None:
            pairs = [(_wire.ATTR_CURSOR, cursor)] if cursor else []
            reply = self._control(_wire.CMD_METRICS, *pairs)
            text += reply.get(_wire.ATTR_TEXT, b"")
            cursor = reply.get(_wire.ATTR_CURSOR, None)
        return text.decode()

    def ping(self) -> None:
        """Returns when the daemon has answered."""
        self._control(_wire.CMD_PING)

    def select(
        self, *clauses: Clause, biased: bool = False, timeout: float | None = None
    ) -> Selected:
        """Waits until exactly one clause takes effect, and says which.

        TimedOut (WouldBlock for timeout 0) if none did. A clause on a closed channel is ready too:
        its error is raised and carries `index`. Among several that are ready the choice rotates;
        `biased` takes the first in the order given.
        """
        connection = self._connection
        for index, clause in enumerate(clauses):
            if clause.channel.client_connection is not connection:
                raise InvalidArgument("a select takes channels of one client; open this one there")
            if clause.encoded is None and clause.inbox is None and clause.channel.has_kept:
                return Selected(index, clause.channel, clause.channel.take_kept(clause))
        reply = select(connection, clauses, timeout, biased)
        index, clause = winner(reply, clauses, ERRORS)
        try:
            return Selected(index, clause.channel, clause.channel.selected(clause, reply))
        except KcoroError:
            raise
        except BaseException:  # interrupted after the request was over
            if clause.inbox is not None:
                clause.inbox.give_back(reply)
            raise

    def try_select(self, *clauses: Clause, biased: bool = False) -> Selected:
        """As `select`, but WouldBlock if no clause can take effect at once."""
        return self.select(*clauses, biased=biased, timeout=0)

    def loan(self, nbytes: int) -> Loan:
        """Shared memory to write a message in: `with client.loan(n) as block: ...`, where `block`
        is a writable memoryview. Sending it, or a part of it, hands it over without a copy.
        PoolExhausted if what was sent before is still in use and the pool may not grow."""
        return self._connection.side.loan(nbytes)

    def loan_file(self, file: int | HasFileno) -> Loan:
        """As `loan`, of the length and with the content of an open regular file, which the kernel
        copies."""
        return self._connection.side.loan_file(file)

    def empty(self, shape: int | tuple[int, ...], dtype: Any = float, order: str = "C") -> Any:
        """A NumPy array in shared memory, to be filled and sent without a copy."""
        from kcoro_ipc import arrays

        return arrays.empty(self._connection.side, shape, dtype, order)

    def release(self, *leases: Lease) -> None:
        """Releases several leases with one frame; BufferError, and none, if one is in use."""
        self._connection.side.mappings.release_all(leases)

    @property
    def leases_open(self) -> int:
        """How many leases of this client are not released."""
        return self._connection.side.mappings.leases_open

    def aclose(self) -> None:
        """Ends the connection. Idempotent."""
        self._connection.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.aclose()

    def _control(self, cmd: int, *pairs: tuple[int, Any], label: str | None = None) -> Reply:
        req_id = self._connection.new_id()
        frame = requests.control(cmd, req_id, pairs)
        reply = self._connection.request(req_id, frame, CONTROL_SECONDS)
        if reply.result:
            raise failure_of(reply, channel=label)
        return reply

    def _open(
        self,
        cmd: int,
        pairs: list[tuple[int, Any]],
        name: str | None,
        options: ChannelOptions,
        codec: Codec,
        timeout: float | None,
    ) -> Channel:
        connection, rights = self._connection, flags_of(options) & RIGHTS

        def handle_of(reply: Reply) -> Handle:
            return Handle(connection, read_info(name, reply.attributes), rights)

        def late(reply: Reply) -> None:
            if reply.result:
                return
            connection.late_request(handle_of(reply).release_frame)

        req_id = connection.new_id()
        reply = connection.request(req_id, requests.control(cmd, req_id, pairs), timeout, late)
        if reply.result:
            raise failure_of(reply, channel=name)
        return Channel(handle_of(reply), codec)
