"""The words of the benchmarks: a Case has Subjects, a Subject gives Samples, a Target judges two
Subjects.

Not here: how anything is started or measured. A value is in the case's unit and always a plain
number; `lower_is_better` says which way is good. A Target speaks about medians of one case under
one pinning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.lab import Lab

Role = Literal["floor", "peer", "ours"]


class Pin(StrEnum):
    """Where the processes of a case may run."""

    SAME = "same"  # all on cpu 0: waking a halted other cpu takes long and hides all else
    FREE = "free"  # wherever the kernel puts them


class SkippedError(Exception):
    """This subject cannot be had here; the text says why."""


class FailedError(Exception):
    """A subject was there and did not do its work; the text says how."""


@dataclass(frozen=True)
class Sample:
    """One repetition: the value in the case's unit, and what else was seen."""

    value: float
    extra: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """One thing that is measured.

    `measure` runs one repetition; it may raise SkippedError or FailedError.
    """

    name: str
    role: Role
    measure: Callable[[Lab], Sample]


@dataclass(frozen=True)
class Target:
    """What ours must reach: median(ours) against bound x median(against), or bound alone."""

    ours: str
    against: str | None
    bound: float
    at_most: bool
    pin: Pin | None = None

    def met(self, ours: float, against: float) -> bool:
        limit = self.bound * against
        return ours <= limit if self.at_most else ours >= limit

    def text(self, unit: str) -> str:
        sign = "<=" if self.at_most else ">="
        if self.against is None:
            return f"{sign} {self.bound:g} {unit}"
        return f"{sign} {self.bound:g} x {self.against}"


@dataclass(frozen=True)
class Case:
    """One kind of work, done by every subject in turn.

    `beside`: pairs of subjects whose ratio is told, first by second, and not judged.
    """

    key: str
    title: str
    unit: str
    subjects: tuple[Subject, ...]
    targets: tuple[Target, ...] = ()
    pins: tuple[Pin, ...] = (Pin.SAME, Pin.FREE)
    lower_is_better: bool = True
    max_repetitions: int = 1000
    beside: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Settings:
    """What the command line chose."""

    repetitions: int
    seconds: float  # wanted length of one repetition of a load
    quick: bool
    install: bool
    kcoro: str  # the program `kcoro`
