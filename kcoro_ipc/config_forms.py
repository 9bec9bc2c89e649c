"""What may stand in kcoro.toml (each key, its type, its default), and what comes of it.

kcoro_ipc/config.py reads the one and makes the other.

A type of our own stands for values with a wording of their own ("64K", "0660", a user's name);
`hook` is what msgspec asks about them. docs/CONFIGURATION.md lists every key, and a test compares.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from kcoro_ipc import _wire
from kcoro_ipc.access import Policy
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.identity import group_id, user_id
from kcoro_ipc.protocol.address import parse_address
from kcoro_ipc.quotas import Limits, amount, mode_bits
from kcoro_ipc.records import Owner, Settings
from kcoro_ipc.strict import Problem, keys

ADMIN_GROUP = "kcoro-admin"  # by default, where it exists
MAX_TTL_S = 0xFFFFFFFF / 1000  # milliseconds that a u32 holds
LEAST_TTL_S = 0.001
WAITING_BYTES = 64 << 20  # the engine's own, of a channel that says nothing else


class Amount(int):
    """64, "64K"."""


class Size(int):
    """An Amount from 1 on: without one the key is left out."""


class Mode(int):
    """ "0660"."""


class Uid(int):
    """A user's name or number."""


class Gid(int):
    """A group's name or number."""


class Where(str):
    """stream:PATH, seqpacket:PATH or PATH."""


class SocketPath(str):
    """An absolute path where a socket can stand."""


class Seconds(float):
    """10, 0.5."""


class Lifetime(float):
    """Seconds that something may wait, 0.001 at least: for ever is said by leaving the key out."""


class Top(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The keys before the first table. Empty or missing: what the daemon does without a file."""

    listen: list[Where] = []
    socket_mode: Mode | None = None
    socket_group: Gid | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    drain: Seconds = Seconds(10)
    io: Literal["trio", "thread"] = "trio"
    metrics: SocketPath | None = None


class Access(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    admin_group: str = ADMIN_GROUP
    allow_unmapped: bool = False


class Declaration(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One [[channel]]."""

    name: str
    kind: Literal["rendezvous", "buffered", "conflated", "unlimited"] | None = None
    capacity: Annotated[int, msgspec.Meta(le=(1 << 63) - 1, ge=-(1 << 63))] = 0
    owner: Uid | None = None
    group: Gid | None = None
    mode: Mode = Mode(0o600)
    overflow: Literal["suspend", "drop_newest", "drop_oldest"] = "suspend"
    undelivered: Literal["requeue", "drop", "dead_letter"] | None = None
    ack: Literal["optional", "required"] = "optional"
    dead_letter: str | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=0, le=_wire.MAX_ATTEMPTS)] = 0
    max_bytes: Size | None = None
    elem_size: Amount = Amount(_wire.MAX_ELEMENT_BYTES)
    fixed_size: bool = False
    ttl: Lifetime | None = None
    file_ttl: Lifetime | None = None

    @property
    def kind_word(self) -> str:
        return self.kind or ("buffered" if self.capacity else "rendezvous")


class RuleTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One [[rule]]; exactly one of allow and deny."""

    allow: list[Literal["make", "send", "receive", "see", "all"]] = []
    deny: list[Literal["make", "send", "receive", "see", "all"]] = []
    name: str = "*"
    users: list[Uid] = []
    groups: list[Gid] = []


LimitsTable: type[msgspec.Struct] = msgspec.defstruct(
    "LimitsTable",
    [(one.name, Amount, Amount(str(one.default))) for one in dataclasses.fields(Limits)],
    forbid_unknown_fields=True,
    frozen=True,
)
TABLES: dict[str, type[msgspec.Struct]] = {"limits": LimitsTable, "access": Access}
PLAIN_KEYS = tuple(keys(Top))
LISTS: dict[str, type[msgspec.Struct]] = {"channel": Declaration, "rule": RuleTable}


def hook(form: type, value: Any) -> Any:
    """The words of our own types; ValueError says what is wrong with a value."""
    if form is Amount:
        return Amount(amount(value, least=0))
    if form is Size:
        return Size(amount(value))
    if form is Mode:
        return Mode(mode_bits(value))
    if form is Seconds:
        return Seconds(_seconds(value))
    if form is Lifetime:
        return Lifetime(_lifetime(value))
    if form is Where:
        return Where(_address(value))
    if form is SocketPath:
        return SocketPath(_socket_path(value))
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"must be a name in quotes or a number, not {value!r}")
    return Uid(user_id(value)) if form is Uid else Gid(group_id(value))


def _seconds(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= MAX_TTL_S:  # type: ignore[operator]
        raise ValueError(f"must be a number of seconds, 49 days at most, not {value!r}")
    return float(value)  # type: ignore[arg-type]


def _lifetime(value: object) -> float:
    seconds = _seconds(value)
    if seconds < LEAST_TTL_S:
        raise ValueError(f"must be {LEAST_TTL_S} s at least, not {value!r}; leave it out for ever")
    return seconds


def _socket_path(value: object) -> str:
    if isinstance(value, str) and not os.path.isabs(value):
        raise ValueError(f"{value!r} is no absolute path")
    return _address(value)


def _address(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text in quotes, not {value!r}")
    try:
        address = parse_address(value)
    except KcoroError as error:
        raise ValueError(error.message) from None
    if not os.path.isabs(address.path):
        raise ValueError(f"{value!r} is no absolute path")
    return value


# --- what comes of it ---


class Declared(NamedTuple):
    """A channel that the daemon makes when it starts."""

    name: str
    settings: Settings
    owner: Owner


@dataclasses.dataclass(frozen=True)
class Config:
    """`path`: where it was read; None: defaults. Names are numbers here, amounts bytes."""

    path: str | None = None
    listen: tuple[str, ...] = ()
    socket_mode: int | None = None
    socket_group: int | None = None
    log_level: str = "info"
    drain: float = 10.0
    io: str = "trio"
    metrics: str | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
    policy: Policy = dataclasses.field(default_factory=Policy)
    channels: tuple[Declared, ...] = ()


def with_options(config: Config, options: Mapping[str, Any], limits: Mapping[str, int]) -> Config:
    """What was said on the command line stands before what the file says."""
    return dataclasses.replace(
        config, **options, limits=dataclasses.replace(config.limits, **limits)
    )


class ConfigError(Exception):
    """The file cannot be used. `problems`: what is wrong, at least one."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.path = path
        self.problems = problems

    step = "kcoro.toml(5) shows the form"

    def lines(self) -> list[str]:
        """One for each; of what is wrong with the whole file also what to do."""
        return [
            f"{self.path}: {one}{'' if one.where else f'; {self.step}'}" for one in self.problems
        ]


class UnreadableConfig(ConfigError):
    """The system refuses the file, or it is not there."""

    step = "check the path and its rights, or leave the file out"
