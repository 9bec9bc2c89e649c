"""Lives of channels: handles hold them, clients close and destroy them, until nothing has them.

How they come to be is channel_making.py, who may do what rights.py. Each method leaves
registry, engine and pump agreeing, also when it raises.

Invariants:
- A channel in the registry holds exactly one reference of the engine's; a handle of a peer holds
  another one, through the pump.
- A channel that is destroyed is forgotten with its last handle, an ephemeral one ends with it.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from kcoro_ipc import _wire, structs
from kcoro_ipc.books import Books
from kcoro_ipc.errors import OperationCancelled, error_for
from kcoro_ipc.native import NativeEngine
from kcoro_ipc.pump import NativePump
from kcoro_ipc.records import WRITE, Channel, Owner, Peer, User
from kcoro_ipc.registry import Registry
from kcoro_ipc.throttle import Throttle

_HANDLES_READ = _wire.STAT_NAMES.index("handles_read") + 1
_DEPTH = _wire.STAT_NAMES.index("depth") + 1
_HANDLES_WRITE = _wire.STAT_NAMES.index("handles_write") + 1


class ChannelLives:
    def __init__(
        self,
        engine: NativeEngine,
        pump: NativePump,
        registry: Registry,
        books: Books,
        talk: Throttle,
        settle: Callable[[User], None],
    ) -> None:
        """`settle`: a user has one channel less."""
        self._engine = engine
        self._pump = pump
        self._registry = registry
        self._books = books
        self._talk = talk
        self._settle = settle

    # --- handles ---

    def grant(self, peer: Peer, channel: Channel, rights: int) -> int:
        """Counts the rights and tells the pump when the handle changed; the rights it has now."""
        handle = peer.handles.get(channel.chan_id)
        before = handle.rights if handle else 0
        now = self._registry.grant(peer, channel, rights)
        if now != before:
            code = self._pump.grant(peer.conn, channel.chan_id, channel.ticket, now)
            if code < 0 and code != _wire.KC_ENOENT:  # that: the connection is gone, and all this
                self._registry.release(peer, channel, rights)
                raise error_for(code, "no handle could be made for this connection")
        return now

    def release(self, peer: Peer, channel: Channel, rights: int) -> None:
        before = peer.handles[channel.chan_id].rights if channel.chan_id in peer.handles else 0
        now = self._registry.release(peer, channel, rights)
        if now != before:
            self._pump.grant(peer.conn, channel.chan_id, channel.ticket, now)
            self._after_release(peer, channel, before & ~now)

    def release_all(self, peer: Peer) -> None:
        """Its connection ended; the pump has dropped its references."""
        for chan_id in list(peer.handles):
            channel = self._registry.channels[chan_id]
            self._after_release(peer, channel, self._registry.release_all(peer, channel))

    def _after_release(self, peer: Peer, channel: Channel, lost: int) -> None:
        if channel.destroyed:
            self._forget_if_unused(channel)
        elif channel.ephemeral and not channel.holders:
            self.destroy(channel, peer, "its last handle was released")
        elif channel.closes_with_last_sender and lost & WRITE and not channel.writers:
            self._close(channel, peer, "its last sender has gone")

    def _forget_if_unused(self, channel: Channel) -> None:
        if not channel.holders:
            self._registry.forget(channel)
            self._books.end_channel(channel.chan_id, self._engine.chan_stats(channel.ticket))
            self._engine.chan_drop(channel.ticket)
            if channel.payer is not None:
                channel.payer.channels -= 1
                self._settle(channel.payer)

    # --- owners, and looking ---

    def give(self, channel: Channel, owner: Owner, mode: int) -> None:
        """Another owner, group or mode. Handles that are there keep their rights, as open files
        do; whoever waits for its name and may see it now gets it."""
        channel.uid, channel.gid = owner
        channel.settings = replace(channel.settings, mode=mode)
        self._registry.waiting.arrive(channel)

    def say_given(self, channel: Channel, peer: Peer) -> None:
        about = {"chan_id": channel.chan_id, "name": channel.name, "uid": peer.uid}
        now = {"owner": channel.uid, "group": channel.gid, "mode": f"{channel.settings.mode:04o}"}
        self._talk.say(peer.uid, logging.INFO, "channel changed", **about, pid=peer.pid, **now)

    def stats(self, channel: Channel) -> list[int]:
        """Values at the index of their STAT_ID, handles counted by the registry."""
        stats = list(self._engine.chan_stats(channel.ticket))
        stats[_HANDLES_READ], stats[_HANDLES_WRITE] = channel.readers, channel.writers
        return stats

    def depth(self, channel: Channel) -> int:
        """Messages that wait or are held."""
        return self._engine.chan_stats(channel.ticket)[_DEPTH]

    # --- ends ---

    def check_alive(self, channel: Channel) -> None:
        """OperationCancelled with the reason when the channel was destroyed."""
        if channel.destroyed:
            raise OperationCancelled(reason=self.reason(channel))

    def reason(self, channel: Channel) -> str:
        return self._engine.chan_reason(channel.ticket) or structs.REASONS[structs.REASON_DESTROYED]

    def close(self, channel: Channel, peer: Peer) -> None:
        """Idempotent. `peer`: whose doing it is."""
        self.check_alive(channel)
        self._checked(channel, self._close(channel, peer, "closed by a client"))

    def _close(self, channel: Channel, peer: Peer, why: str) -> int:
        code = self._engine.chan_close(channel.ticket)
        if code == _wire.KC_OK and not channel.closed:
            channel.closed = True
            self._say_done(channel, peer, "channel closed", why=why)
        return code

    def purge(self, channel: Channel, peer: Peer) -> int:
        self.check_alive(channel)
        count = self._engine.chan_purge(channel.ticket)
        if count:
            self._say_done(channel, peer, "channel purged", count=count)
        return count

    def destroy(self, channel: Channel, peer: Peer | None, why: str) -> None:
        """The name is free, handles answer ECANCELED with `why` from now on. Idempotent. `peer`:
        whose doing it is; None: the daemon's own."""
        if channel.destroyed:
            return
        self._engine.chan_destroy(channel.ticket, structs.REASON_DESTROYED, why)
        self._registry.end_name(channel)
        self._say_done(channel, peer, "channel destroyed", why=why)
        self._forget_if_unused(channel)

    def _say_done(self, channel: Channel, peer: Peer | None, event: str, **more: object) -> None:
        """With who did it, in whose share of the log; the owner only where that is another."""
        uid = channel.uid if peer is None else peer.uid
        about = {"chan_id": channel.chan_id, "name": channel.name}
        about |= {} if peer is None else {"uid": peer.uid, "pid": peer.pid}
        about |= {} if peer is not None and channel.uid == uid else {"owner": channel.uid}
        self._talk.say(uid, logging.INFO, event, **about, **more)

    def lost(self, channel: Channel) -> None:
        """The engine destroyed it by itself (a broken invariant)."""
        if not channel.destroyed:
            self._registry.end_name(channel)
            self._forget_if_unused(channel)

    def _checked(self, channel: Channel, code: int) -> None:
        if code == _wire.KC_ECANCELED:
            raise OperationCancelled(reason=self.reason(channel))
        if code < 0:
            raise error_for(code)
