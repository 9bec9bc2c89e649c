"""How a channel comes to be: a client makes it, or the configuration declares it.

Functions of a broker, which leave its registry and engine agreeing, also when they raise. What they
judge is what other channels have to do with the new one: that for its dead letters, that of which
it is a tap. Whether the peer may make it was asked before (rights.py); it has no handle yet, and
the rest of its life is in channel_lives.py.

Invariants:
- A channel pays from the quota of its owner, a declared one from nobody's.
- The dead letters of a declared channel go to a declared channel only.
"""

import logging

from kcoro_ipc import _wire, structs
from kcoro_ipc.broker import NOBODY, Broker
from kcoro_ipc.errors import AccessDenied, InvalidArgument, NoSuchChannel
from kcoro_ipc.logs import say
from kcoro_ipc.records import MANAGE, READ, WRITE, Channel, Owner, Peer, Settings, User
from kcoro_ipc.structs import ChannelConfig

_ENGINE_FLAGS = {
    _wire.FLAG_CHAN_FIXED_SIZE: structs.CHAN_FIXED_SIZE,
    _wire.FLAG_CHAN_ACK_REQUIRED: structs.CHAN_ACK_REQUIRED,
}


def make(
    broker: Broker,
    peer: Peer,
    name: str | None,
    settings: Settings,
    legacy: bool,
    owner: Owner | None = None,
) -> Channel:
    """A new channel without handles, in the quota of its owner. Raises what the engine
    refuses."""
    owner = owner or Owner(peer.uid, peer.gid)
    payer = broker.users.get(owner.uid)
    try:
        dead_letter = _dead_letter(broker, peer, settings)
        source = _tapped(broker, peer, settings)
        channel = _add(broker, name, settings, owner, payer, dead_letter, source)
    except BaseException:
        broker.users.settle(payer)
        raise
    channel.legacy = legacy
    about = {"chan_id": channel.chan_id, "name": name, "uid": peer.uid, "pid": peer.pid}
    about |= {} if owner.uid == peer.uid else {"owner": owner.uid}
    broker.talk.say(peer.uid, logging.INFO, "channel made", **about)
    return channel


def declare(broker: Broker, name: str, settings: Settings, owner: Owner) -> Channel:
    """A channel that nobody's client made, in nobody's quota. InvalidArgument unless its
    dead letter is one, too, and fits."""
    letters = _declared_letters(broker, settings)
    try:
        channel = _add(broker, name, settings, owner, None, letters)
    except InvalidArgument:
        if letters:
            raise _unfit(settings) from None
        raise
    channel.declared = True
    broker.registry.waiting.arrive(channel)
    about = {"chan_id": channel.chan_id, "name": name, "uid": owner.uid}
    say(logging.INFO, "channel declared", **about)
    return channel


def bind_letters(broker: Broker, channel: Channel) -> bool:
    """What a declared channel cannot deliver goes to the channel that has the name of its dead
    letter by now; False: it does. InvalidArgument as of `declare`; then nothing changed."""
    letters = _declared_letters(broker, channel.settings)
    if letters == channel.letters:
        return False
    try:
        broker.engine.chan_set_dead_letter(channel.ticket, letters)
    except InvalidArgument:
        raise _unfit(channel.settings) from None
    channel.letters = letters
    return True


def _declared_letters(broker: Broker, settings: Settings) -> int:
    """Never a channel that a client made: its maker would read what others sent."""
    name = settings.dead_letter
    if name is None:
        return 0
    target = broker.registry.names.get(name)
    if target is None:
        raise InvalidArgument(f"there is no channel {name} for its dead letters")
    if not target.declared:
        why = f"its dead letters would go to {name}, which uid {target.uid} made"
        raise InvalidArgument(f"{why}; destroy that channel, then reload")
    return target.ticket


def _add(
    broker: Broker,
    name: str | None,
    settings: Settings,
    owner: Owner,
    payer: User | None,
    dead_letter: int,
    source: Channel | None = None,
) -> Channel:
    chan_id = broker.registry.new_chan_id()
    account = payer.account if payer is not None else NOBODY
    ticket = broker.engine.chan_make(_config(settings, chan_id, account, dead_letter))
    if source is not None:
        _tap(broker, source, ticket)
    channel = Channel(chan_id, ticket, name, *owner, settings, payer=payer, letters=dead_letter)
    broker.registry.add(channel)
    broker.books.begin_channel(chan_id, owner.uid, name, charged=payer is not None)
    if payer is not None:
        payer.channels += 1
    return channel


def _config(settings: Settings, chan_id: int, account: int, dead_letter: int) -> ChannelConfig:
    return ChannelConfig(
        kind=settings.kind,
        capacity=settings.capacity,
        overflow=settings.overflow,
        undelivered=settings.undelivered,
        elem_size=settings.elem_size,
        flags=sum(bit for ours, bit in _ENGINE_FLAGS.items() if settings.flags & ours),
        max_attempts=settings.max_attempts,
        account=account,
        max_bytes=settings.max_bytes,
        ttl_ms=settings.ttl_ms,
        file_ttl_ms=settings.file_ttl_ms,
        user=chan_id,
        dead_letter=dead_letter,
    )


def _tapped(broker: Broker, peer: Peer, settings: Settings) -> Channel | None:
    """The channel of which this is to be a tap: for who manages a channel and may receive."""
    if not settings.tap_of:
        return None
    source = broker.registry.find(peer, settings.tap_of, None)
    broker.registry.judge.permit(peer, source, MANAGE | READ)
    broker.channels.check_alive(source)
    broker.registry.limits.check(taps_per_channel=source.taps)
    return source


def _tap(broker: Broker, source: Channel, ticket: int) -> None:
    try:
        broker.engine.chan_tap(source.ticket, ticket)
    except BaseException:
        broker.engine.chan_drop(ticket)
        raise


def _dead_letter(broker: Broker, peer: Peer, settings: Settings) -> int:
    if settings.dead_letter is None:
        return 0
    name = settings.dead_letter
    try:
        target = broker.registry.find(peer, None, name)
        broker.registry.judge.permit(peer, target, WRITE)
    except (NoSuchChannel, AccessDenied) as error:
        raise type(error)(f"dead-letter channel {name}: {error.message}") from error
    if target.settings.kind != _wire.KIND_UNLIMITED or target.settings.dead_letter is not None:
        raise InvalidArgument(
            "a dead-letter channel is unlimited and has no dead-letter channel itself"
        )
    return target.ticket


def _unfit(settings: Settings) -> InvalidArgument:
    return InvalidArgument(
        f"{settings.dead_letter} cannot take its dead letters: that must be open, unlimited, "
        "without a dead letter, and take messages as long; destroy that channel, then reload"
    )
