"""Runs a case: every subject once, then every subject once more, until the repetitions are done.

Interleaving spreads what the machine does meanwhile over all subjects alike. A subject that
cannot be had is skipped by name; one that fails is named with its failure and not run again; the
others go on. Not here: how the outcome is shown (report.py).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.lab import Lab
from bench.model import Case, FailedError, Pin, Sample, Settings, SkippedError, Subject


@dataclass
class Row:
    """What became of one subject."""

    subject: Subject
    samples: list[Sample] = field(default_factory=list)
    skipped: str = ""
    failed: str = ""

    @property
    def over(self) -> bool:
        return bool(self.skipped or self.failed)

    @property
    def median(self) -> float:
        return statistics.median(sample.value for sample in self.samples)

    @property
    def least(self) -> float:
        return min(sample.value for sample in self.samples)

    @property
    def most(self) -> float:
        return max(sample.value for sample in self.samples)


@dataclass
class Outcome:
    """A case that was run."""

    case: Case
    pin: Pin
    rows: list[Row]
    seconds: float

    def median(self, name: str) -> float | None:
        """The median of that subject, or None when it has no samples."""
        found = [row.median for row in self.rows if row.subject.name == name and row.samples]
        return found[0] if found else None


Show = Callable[[str], None]


def run(case: Case, pin: Pin, settings: Settings, only: str, show: Show) -> Outcome:
    """One case under one pinning. `only`: subjects whose name contains it, all when empty."""
    begin = time.monotonic()
    rows = [Row(subject) for subject in case.subjects if only in subject.name]
    with tempfile.TemporaryDirectory(prefix="kcb-") as name, Lab(Path(name), pin, settings) as lab:
        repetitions = min(settings.repetitions, case.max_repetitions)
        for repetition in range(repetitions):
            for row in rows:
                if not row.over:
                    show(f"{case.key} pin={pin} {repetition + 1}/{repetitions} {row.subject.name}")
                    _measure(row, lab)
    return Outcome(case, pin, rows, time.monotonic() - begin)


def _measure(row: Row, lab: Lab) -> None:
    try:
        row.samples.append(row.subject.measure(lab))
    except SkippedError as reason:
        row.skipped = str(reason)
    except (FailedError, OSError, ImportError, ValueError, EOFError) as failure:
        row.failed = f"{type(failure).__name__}: {failure}"
