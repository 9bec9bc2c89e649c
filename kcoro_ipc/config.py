"""The configuration file of the daemon: kcoro.toml, read strictly. docs/CONFIGURATION.md.

Every key has a type and a default; what is unknown, of another type or contradictory is a Problem
with its path, and one reading finds as many as it can. Reading starts nothing, but it looks up
users and groups (kcoro_ipc/identity.py), so it does not belong on the thread that serves.

Invariant: a Config that exists is whole and consistent; there is no half-read one.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.access import ALL, OPERATIONS, Policy, Rule
from kcoro_ipc.config_forms import (
    LISTS,
    PLAIN_KEYS,
    TABLES,
    WAITING_BYTES,
    Access,
    Config,
    ConfigError,
    Declaration,
    Declared,
    LimitsTable,
    RuleTable,
    Top,
    UnreadableConfig,
    hook,
)
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.identity import group_id, primary_group
from kcoro_ipc.names import check_name
from kcoro_ipc.protocol.channels import (
    ACKNOWLEDGING,
    KINDS,
    OVERFLOWS,
    UNDELIVERED,
    milliseconds,
)
from kcoro_ipc.quotas import Limits, limit
from kcoro_ipc.records import Owner, Settings
from kcoro_ipc.settings import check_settings
from kcoro_ipc.strict import Problem, TableError, join, keys, no_such_key, read_table

SYSTEM_FILE = "/etc/kcoro/kcoro.toml"


def usual_path(environ: Mapping[str, str] = os.environ) -> str:
    """Where this daemon's file would be: in the directory that a service manager made for it
    ($CONFIGURATION_DIRECTORY), root's in /etc, another user's in $XDG_CONFIG_HOME."""
    directory = environ.get("CONFIGURATION_DIRECTORY", "").split(":")[0]
    if directory:
        return os.path.join(directory, "kcoro.toml")
    if os.geteuid() == 0:
        return SYSTEM_FILE
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(home, "kcoro", "kcoro.toml")


def read_config(path: str | None = None) -> Config:
    """The file at `path`, which must exist, or the usual one if it does. ConfigError."""
    found = path or usual_path()
    try:
        with open(found, "rb", opener=_open_at_once) as file:
            if not _is_readable(os.fstat(file.fileno()).st_mode):
                raise UnreadableConfig(found, [Problem("", "is no regular file")])
            data = file.read()
    except FileNotFoundError:
        if path is None:
            return Reading("", {}).config(None)
        raise UnreadableConfig(found, [Problem("", "there is no such file")]) from None
    except OSError as error:
        raise UnreadableConfig(found, [Problem("", f"cannot be read: {error.strerror}")]) from error
    return parse_config(data, found)


def _open_at_once(path: str, flags: int) -> int:
    """A FIFO without a writer does not wait."""
    return os.open(path, flags | os.O_NONBLOCK)


def _is_readable(mode: int) -> bool:
    """A regular file; a device is /dev/null, which means none."""
    return stat.S_ISREG(mode) or stat.S_ISCHR(mode)


def parse_config(data: bytes, path: str) -> Config:
    try:
        tables = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise ConfigError(path, [Problem("", "is no UTF-8 text")]) from None
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5,000 digits
        raise ConfigError(path, [Problem("", f"is no TOML: {error}")]) from None
    return Reading(path, tables).config(path)


class Reading:
    """One reading of one file: collects problems, so that all are told at once."""

    def __init__(self, path: str, tables: dict[str, Any]) -> None:
        self.path = path
        self.tables = tables
        self.problems: list[Problem] = []

    def config(self, path: str | None) -> Config:
        """Raises ConfigError when anything was wrong."""
        tables = TABLES | LISTS
        plain = {key: value for key, value in self.tables.items() if key not in tables}
        for key in sorted(set(plain) - set(PLAIN_KEYS)):
            self.say(key, no_such_key(key, [*PLAIN_KEYS, *tables]))
            del plain[key]
        top = self._table("", plain, Top) or Top()
        limits = self._limits()
        policy = self._policy()
        channels = self._channels(limits)
        if self.problems:
            raise ConfigError(self.path, self.problems)
        scalars = {key: getattr(top, key) for key in PLAIN_KEYS} | {"listen": tuple(top.listen)}
        return Config(path=path, limits=limits, policy=policy, channels=channels, **scalars)

    def say(self, where: str, what: str) -> None:
        self.problems.append(Problem(where, what))

    def _table(self, where: str, table: object, form: type[Any]) -> Any:
        """None when it is wrong, which is said."""
        try:
            return read_table(where, table, form, hook)
        except TableError as error:
            self.problems.append(error.problem)
            return None

    def _list(self, name: str) -> Iterator[tuple[str, Any]]:
        """(path, struct) of each that is right."""
        found = self.tables.get(name, [])
        if not isinstance(found, list):
            self.say(name, f"write [[{name}]] before the keys of each")
            return
        for place, table in enumerate(found):
            where = f"{name}[{place}]"
            struct = self._table(where, table, LISTS[name])
            if struct is not None:
                yield where, struct

    def _limits(self) -> Limits:
        table = self._table("limits", self.tables.get("limits", {}), LimitsTable)
        if table is None:
            return Limits()
        chosen = {}
        for name in keys(LimitsTable):
            try:
                chosen[name] = limit(name, getattr(table, name))
            except ValueError as error:
                self.say(f"limits.{name}", str(error))
        return Limits(**chosen)

    # --- rights ---

    def _policy(self) -> Policy:
        table = self.tables.get("access", {})
        access = self._table("access", table, Access) or Access()
        given = isinstance(table, dict) and "admin_group" in table
        admin_gid = self._admin_gid(access.admin_group, given)
        rules = [self._rule(where, rule) for where, rule in self._list("rule")]
        return Policy(tuple(filter(None, rules)), admin_gid, access.allow_unmapped)

    def _admin_gid(self, name: str, given: bool) -> int | None:
        try:
            return group_id(name) if name else None
        except ValueError as error:
            if given:
                self.say("access.admin_group", str(error))
            return None

    def _rule(self, where: str, rule: RuleTable) -> Rule | None:
        if bool(rule.allow) == bool(rule.deny):
            self.say(where, "give either allow or deny, a list of make, send, receive, see or all")
            return None
        if why := _pattern_fault(rule.name):
            self.say(f"{where}.name", f"{rule.name!r} {why}")
            return None
        words = rule.allow or rule.deny
        operations = ALL if "all" in words else sum({OPERATIONS[word] for word in words})
        return Rule(
            place=int(where.removeprefix("rule[").removesuffix("]")),
            allow=bool(rule.allow),
            operations=operations,
            pattern=rule.name,
            uids=frozenset(rule.users),
            gids=frozenset(rule.groups),
        )

    # --- channels ---

    def _channels(self, limits: Limits) -> tuple[Declared, ...]:
        tables = dict(self._list("channel"))
        found = {where: self._declared(where, table) for where, table in tables.items()}
        first: dict[str, str] = {}
        for where, table in tables.items():
            if table.name in first:
                self.say(f"{where}.name", f"{table.name!r} is declared by {first[table.name]}")
            first.setdefault(table.name, where)
        by_name = {table.name: table for table in tables.values()}
        for where, table in tables.items():
            if table.dead_letter is not None and (why := _dead_letter_fault(table, by_name)):
                self.say(f"{where}.dead_letter", f"{table.dead_letter!r} {why}")
        if len(tables) > limits.channels:
            self.say("channel", f"{len(tables)} channels are over limits.channels")
        return tuple(one for one in found.values() if one is not None)

    def _declared(self, where: str, table: Declaration) -> Declared | None:
        try:
            name = check_name(table.name.encode())
        except KcoroError as error:
            self.say(f"{where}.name", f"{table.name!r}: {error.message}")
            return None
        settings = _settings(table)
        try:
            check_settings(settings)
        except KcoroError as error:
            self.say(*_about(where, error.message))
            return None
        uid = os.geteuid() if table.owner is None else table.owner
        gid = primary_group(uid) if table.group is None else table.group
        return Declared(name, settings, Owner(uid, gid))


def _settings(table: Declaration) -> Settings:
    undelivered = table.undelivered
    if undelivered is None and table.dead_letter is not None and not table.max_attempts:
        undelivered = "dead_letter"  # as `kcoro make` does: for what else would it be named
    fixed = _wire.FLAG_CHAN_FIXED_SIZE if table.fixed_size else 0
    return Settings(
        kind=KINDS[table.kind_word],
        capacity=table.capacity,
        elem_size=table.elem_size,
        overflow=OVERFLOWS[table.overflow],
        undelivered=UNDELIVERED[undelivered] if undelivered else _wire.UNDELIVERED_BY_KIND,
        max_attempts=table.max_attempts,
        max_bytes=0 if table.max_bytes in (None, WAITING_BYTES) else table.max_bytes,
        ttl_ms=0 if table.ttl is None else milliseconds("ttl", table.ttl),
        file_ttl_ms=0 if table.file_ttl is None else milliseconds("file_ttl", table.file_ttl),
        mode=table.mode,
        flags=fixed | ACKNOWLEDGING[table.ack],
        dead_letter=table.dead_letter,
    )


def _about(where: str, said: str) -> tuple[str, str]:
    """check_settings speaks of attributes of the wire; the first it names is our key."""
    names = re.findall(r"\b[A-Z]{4,}(?:_[A-Z]+)*\b", said)
    words = re.sub(r"\b[A-Z]{4,}(?:_[A-Z]+)*\b", lambda found: found[0].lower(), said)
    return join(where, f".{names[0].lower()}" if names else ""), words


def _dead_letter_fault(table: Declaration, by_name: dict[str, Declaration]) -> str | None:
    target = by_name.get(table.dead_letter or "")
    if target is None:
        return "is not declared; add a [[channel]] of that name with kind = 'unlimited'"
    if target.kind_word != "unlimited":
        return f"must be unlimited, it is {target.kind_word}"
    if target.elem_size < table.elem_size or target.fixed_size:
        return f"must take messages of up to {table.elem_size} bytes"
    if target.dead_letter is not None:
        return "has a dead letter channel itself"
    return None


def _pattern_fault(pattern: str) -> str | None:
    if "/" in pattern or any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in pattern):
        return "fits no name: none has '/' or a control character"
    if "[" in re.sub(r"\[!?\]?[^]]*\]", "", pattern):
        return "has a [ that no ] closes; write [[] for the sign itself"
    return None


if __name__ == "__main__":  # the other configuration: python -m kcoro_ipc.config --cflags --libs
    from kcoro_ipc.building import main

    main()
