"""From one configuration to the next, while the daemon serves.

What can change does, for everybody who is there; what cannot is said in one line each and waits
for the next start. Nothing is lost and no connection ends: a declaration that is gone leaves its
channel where it is, a handle keeps its rights. A file that is wrong changes nothing.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import trio

from kcoro_ipc import channel_making, logs, service
from kcoro_ipc.broker import Broker
from kcoro_ipc.config import read_config
from kcoro_ipc.config_forms import Config, ConfigError, Declared, with_options
from kcoro_ipc.config_shown import shown_setting, shown_settings
from kcoro_ipc.daemon import Daemon
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.logs import say
from kcoro_ipc.records import Channel, Settings

FIXED = ("listen", "socket_mode", "socket_group", "io", "metrics")


class Reloader:
    """The configuration in force, and the way to the next one."""

    def __init__(self, path: str | None, options: Mapping[str, Any], limits: Mapping[str, int]):
        """Reads it for the first time. `path` None: the usual one, if it is there; options and
        limits of the command line stand before it. ConfigError."""
        self._path = path
        self._options = options
        self._limits = limits
        self.config = self._read()

    def _read(self) -> Config:
        return with_options(read_config(self._path), self._options, self._limits)

    def prepare(self, broker: Broker) -> None:
        """Before anybody is served: rules, and the declared channels."""
        broker.set_policy(self.config.policy)
        declare_all(broker, self.config.channels)

    async def reload(self, daemon: Daemon) -> None:
        """Not while it drains: the manager has heard that it stops."""
        if daemon.broker.draining:
            return
        service.reloading()
        try:
            # A file or a directory of users may hang: that must not keep the daemon from its end.
            new = await trio.to_thread.run_sync(self._read, abandon_on_cancel=True)
        except ConfigError as error:
            say_refused(error)
        except Exception as error:  # noqa: BLE001  a fault of ours: the manager waits for READY
            say(logging.ERROR, "fault", error)
            say_kept()
        else:
            await daemon.between_turns(lambda: self._apply(daemon, new))
        if not daemon.broker.draining:
            service.ready()

    def _apply(self, daemon: Daemon, new: Config) -> None:
        """Nothing any more once it drains."""
        if daemon.broker.draining:
            return
        try:
            self.config = apply(daemon.broker, self.config, new)
        except Exception as error:  # noqa: BLE001  a fault of ours: what is served goes on
            say(logging.ERROR, "fault", error)
            say(logging.ERROR, "configuration reloaded in part: restart to have it whole")
            return
        daemon.going.seconds = new.drain
        say(logging.INFO, "configuration reloaded", file=new.path or "none")


def say_refused(error: ConfigError) -> None:
    """The old configuration stays in force; why is said as `kcoro config check` says it."""
    for problem in error.problems:
        say(
            logging.ERROR,
            "configuration refused",
            file=error.path,
            key=problem.where or None,
            why=problem.what,
        )
    say_kept(error.path)


def say_kept(path: str | None = None) -> None:
    say(logging.ERROR, "configuration not reloaded: the old one stays in force", file=path)


def declare_all(broker: Broker, channels: Iterable[Declared]) -> None:
    """At the start; dead letters first, because the others name them. Raises what is refused."""
    for one in sorted(channels, key=_is_named_last):
        try:
            channel_making.declare(broker, one.name, one.settings, one.owner)
        except KcoroError as error:
            said = f"channel {one.name}: {error.message}"
            raise type(error)(said, **error.details) from error


def _is_named_last(declared: Declared) -> bool:
    return declared.settings.dead_letter is not None


def apply(broker: Broker, old: Config, new: Config) -> Config:
    """What is in force from now on: `new`, except for what cannot change."""
    for key in FIXED:
        if getattr(old, key) != getattr(new, key):
            _say_kept(key, getattr(old, key), getattr(new, key))
    for name in old.limits.changed(new.limits, fixed=True):
        _say_kept(f"limits.{name}", getattr(old.limits, name), getattr(new.limits, name))
    kept = {key: getattr(old, key) for key in FIXED}
    limits = new.limits.with_sizes_of(old.limits)
    if limits != old.limits:
        broker.set_limits(limits)
    if new.policy != old.policy:
        broker.set_policy(new.policy)
    logs.log.setLevel(new.log_level.upper())
    _declare(broker, old.channels, new.channels)
    return replace(new, limits=limits, **kept)


def _say_kept(key: str, is_now: object, asked: object) -> None:
    now, file = _plain(key, is_now), _plain(key, asked)
    say(logging.WARNING, "setting needs a restart", key=key, now=now, file=file)


def _plain(key: str, value: object) -> str:
    shown = shown_setting(key, value)
    if isinstance(shown, list):
        return " ".join(shown)
    return "default" if shown is None else str(shown)


# --- declared channels ---


def _declare(broker: Broker, old: Iterable[Declared], new: Iterable[Declared]) -> None:
    names = {one.name for one in new}
    for one in old:
        if one.name not in names and _known(broker, one.name) is not None:
            why = "it stays until it is destroyed"
            say(logging.WARNING, "channel no longer declared", name=one.name, why=why)
    for one in sorted(new, key=_is_named_last):
        channel = _known(broker, one.name)
        if channel is None:
            _try_to_declare(broker, one)
        else:
            _change(broker, channel, one)


def _known(broker: Broker, name: str) -> Channel | None:
    return broker.registry.names.get(name)


def _try_to_declare(broker: Broker, one: Declared) -> None:
    try:
        channel_making.declare(broker, one.name, one.settings, one.owner)
    except KcoroError as error:
        say(logging.ERROR, "channel not declared", name=one.name, why=error.message)


def _change(broker: Broker, channel: Channel, one: Declared) -> None:
    """Owner, group and mode follow the file; the rest is as it was made."""
    about = {"chan_id": channel.chan_id, "name": channel.name}
    if not channel.declared:
        why = f"uid {channel.uid} made a channel of this name; destroy it, then reload"
        say(logging.WARNING, "channel not declared", **about, why=why)
        return
    for key, (is_now, asked) in _differences(channel.settings, one.settings).items():
        why = "destroy the channel, then reload"
        say(logging.WARNING, "channel kept", **about, key=key, now=is_now, file=asked, why=why)
    if one.settings.dead_letter == channel.settings.dead_letter:
        _bind_letters(broker, channel, about)
    if (channel.uid, channel.gid, channel.settings.mode) != (*one.owner, one.settings.mode):
        broker.channels.give(channel, one.owner, one.settings.mode)
        mode = f"{one.settings.mode:04o}"
        say(logging.INFO, "channel changed", **about, **one.owner._asdict(), mode=mode)


def _bind_letters(broker: Broker, channel: Channel, about: Mapping[str, object]) -> None:
    """Its dead letter may have been destroyed and declared again."""
    name = channel.settings.dead_letter
    try:
        if channel_making.bind_letters(broker, channel):
            say(logging.INFO, "channel changed", **about, dead_letter=name)
    except KcoroError as error:
        say(logging.WARNING, "channel kept", **about, key="dead_letter", why=error.message)


def _differences(is_now: Settings, asked: Settings) -> dict[str, tuple[object, object]]:
    """In the words of the file."""
    now, file = shown_settings(is_now), shown_settings(asked)
    return {key: (now[key], file[key]) for key in now if key != "mode" and now[key] != file[key]}
