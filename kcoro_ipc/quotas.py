"""What one uid, connection or channel may use, and how a refusal names the limit.

Rates are no quotas: whoever is faster is not refused but not read until its time has come.

`kcoro serve --limit NAME=N` sets one. The words are those of native/ipc/pump_words.c, which refuses
hot frames.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal

from kcoro_ipc.errors import QuotaExceeded

SUFFIXES = {"K": 10, "M": 20, "G": 30}
_WORDS = {"tokens": "waiters", "clauses": "select clauses", "accounts": "uids"}


def words(name: str) -> tuple[str, str]:
    """QUOTA_NAME and QUOTA_SETTING of a limit."""
    return _WORDS.get(name, name.replace("_", " ")), f"limits.{name}"


def amount(text: str | int, least: Literal[0, 1] = 1, largest: int = (1 << 63) - 1) -> int:
    """A whole number: 4096, "64K", "1M", "8G" (also 64KB, 64KiB); ValueError."""
    word = str(text).upper().removesuffix("B").removesuffix("I")
    shift = SUFFIXES.get(word[-1:], 0)
    digits = word[:-1] if shift else str(text)
    whole = digits.isascii() and digits.isdigit() and not isinstance(text, bool)
    if not whole or int(digits) < least:
        from_one = " from 1 on" if least else ""
        raise ValueError(f"{text!r} is no whole number{from_one}; it may end in K, M or G")
    value = int(digits) << shift
    if value > largest:
        raise ValueError(f"{text!r} is over {largest}")
    return value


def limit(name: str, text: str | int) -> int:
    """`amount` within what the engine can count; 0 only where that is the default, for none."""
    least: Literal[0, 1] = 1 if getattr(Limits(), name) else 0
    return amount(text, least, (1 << 63) - 1 if "bytes" in name else (1 << 32) - 1)


def is_fixed(name: str) -> bool:
    """A size of a table, which lasts as long as the daemon."""
    return "_per_" not in name


def mode_bits(text: str | int) -> int:
    """Permission bits of a text of octal digits: "0660"; ValueError, also for a number."""
    digits = text.lower().removeprefix("0o") if isinstance(text, str) else ""
    if not digits or set(digits) - set("01234567") or int(digits, 8) > 0o777:
        raise ValueError(f"{text!r} is no mode; give octal digits in quotes, as in '0660'")
    return int(digits, 8)


@dataclass(frozen=True, slots=True)
class Limits:
    """Defaults; those without `per` are sizes of tables, fixed when the daemon starts. Frames per
    second are rates, 0 for none."""

    connections_per_uid: int = 16_384
    channels_per_uid: int = 16_384
    parked_per_uid: int = 65_536
    held_per_uid: int = 65_536
    bytes_per_uid: int = 256 << 20
    messages_per_uid: int = 1 << 21
    files_per_uid: int = 1_024
    region_bytes_per_uid: int = 4 << 30
    regions_per_uid: int = 16_384
    parked_per_channel: int = 16_384
    taps_per_channel: int = 8
    parked_per_connection: int = 1_024
    held_per_connection: int = 4_096
    requests_per_connection: int = 2_048
    handles_per_connection: int = 16_384
    openings_per_connection: int = 64
    openings_per_uid: int = 1_024
    subscriptions_per_connection: int = 64
    subscriptions_per_uid: int = 1_024
    regions_per_connection: int = 256
    frames_per_second_per_uid: int = 0
    frames_per_second_per_connection: int = 0
    connections: int = 131_072
    channels: int = 65_536
    tokens: int = 1 << 20
    clauses: int = 1 << 20
    messages: int = 1 << 22
    accounts: int = 4_096
    regions: int = 65_536
    files: int = 4_096
    bytes: int = 8 << 30
    metrics_channels: int = 1_000
    metrics_users: int = 256

    def changed(self, new: "Limits", fixed: bool) -> list[str]:
        """Names that differ: of the sizes of tables (`fixed`), or of the others."""
        names = [one.name for one in fields(self) if is_fixed(one.name) is fixed]
        return [name for name in names if getattr(self, name) != getattr(new, name)]

    def with_sizes_of(self, old: "Limits") -> "Limits":
        """These, with the sizes of tables that are in use."""
        sizes = {name: getattr(old, name) for name in self.changed(old, fixed=True)}
        return replace(self, **sizes)

    def refuse(self, name: str, usage: int) -> QuotaExceeded:
        quota, setting = words(name)
        limit: int = getattr(self, name)
        return QuotaExceeded(quota=quota, limit=limit, usage=usage, setting=setting)

    def check(self, **usages: int) -> None:
        """QuotaExceeded where as many are in use as may be."""
        for name, usage in usages.items():
            if usage >= getattr(self, name):
                raise self.refuse(name, usage)
