"""What a run says: a table per case, targets met or missed, JSON lines for later.

Every ratio is ours against a floor or a peer of the same case, the same pinning and the same run.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.model import Case, Target
from bench.runner import Outcome, Row

COLOURS = {"floor": "cyan", "peer": "white", "ours": "bold"}


@dataclass(frozen=True)
class Verdict:
    """A target held against what was measured; `met` is None when a side of it is missing."""

    target: Target
    ratio: float | None
    met: bool | None


def verdicts(outcome: Outcome) -> list[Verdict]:
    return [
        _verdict(outcome, target)
        for target in outcome.case.targets
        if target.pin in (None, outcome.pin)
    ]


def _verdict(outcome: Outcome, target: Target) -> Verdict:
    ours = outcome.median(target.ours)
    against = 1.0 if target.against is None else outcome.median(target.against)
    if ours is None or against is None or against == 0.0:
        return Verdict(target, None, None)
    return Verdict(target, ours / against, target.met(ours, against))


def ratios(outcome: Outcome) -> list[tuple[str, float]]:
    """Those of `Case.beside` of which both sides were measured."""
    found = []
    for one, other in outcome.case.beside:
        value, by = outcome.median(one), outcome.median(other)
        if value is not None and by:
            found.append((f"{one} / {other}", value / by))
    return found


def number(value: float) -> str:
    """Three or four digits that a person can compare."""
    for size, suffix in ((1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e6 if suffix == ' M' else 1e3):.3g}{suffix}"
    return f"{value:.4g}"


def show(outcome: Outcome, console: Console) -> None:
    """Prints the case."""
    case = outcome.case
    title = f"{case.key}  {case.title}  (pin={outcome.pin}, {outcome.seconds:.0f} s)"
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for column in ("subject", "role", f"median {case.unit}", "[min .. max]", "n", "ours / this"):
        is_text = column in ("subject", "role")
        table.add_column(escape(column), justify="left" if is_text else "right")
    for row in outcome.rows:
        table.add_row(*_cells(row, outcome), style=COLOURS[row.subject.role])
    console.print(table)
    for text, ratio in ratios(outcome):
        console.print(f"  {escape(text)}: {ratio:.2f}", highlight=False)
    for verdict in verdicts(outcome):
        console.print(_line(verdict, case))
    console.print()


def _cells(row: Row, outcome: Outcome) -> list[str]:
    name, role = escape(row.subject.name), row.subject.role
    if not row.samples:
        return [name, role, "failed" if row.failed else "skipped", escape(_reason(row)), "0", ""]
    spread = escape(f"[{number(row.least)} .. {number(row.most)}]")
    median = number(row.median) + (" failed" if row.failed else "")
    return [name, role, median, spread, str(len(row.samples)), _ratio(row, outcome)]


def _reason(row: Row) -> str:
    """The last line says what happened; the whole stands in the JSON lines."""
    return (row.skipped or row.failed).strip().splitlines()[-1][:100]


def _ratio(row: Row, outcome: Outcome) -> str:
    ours = outcome.median("ours") or outcome.median("ours, C")
    if row.subject.role == "ours" or ours is None or row.median == 0:
        return ""
    return f"{ours / row.median:.2f}"


def _line(verdict: Verdict, case: Case) -> str:
    claim = escape(f"{verdict.target.ours} {verdict.target.text(case.unit)}")
    if verdict.met is None or verdict.ratio is None:
        return f"  [yellow]not measured[/]  {claim}"
    word = "[green]met[/]   " if verdict.met else "[red]missed[/]"
    return f"  {word}  {claim}: {number(verdict.ratio)}"


def summary(outcomes: list[Outcome], console: Console) -> bool:
    """Prints all targets in one table; True when none was missed."""
    table = Table(title="targets", title_justify="left", title_style="bold")
    for column in ("case", "pin", "target", "measured", ""):
        table.add_column(column, justify="right" if column == "measured" else "left")
    missed = 0
    for outcome in outcomes:
        for verdict in verdicts(outcome):
            missed += verdict.met is False
            table.add_row(*_target_cells(outcome, verdict))
    console.print(table)
    return missed == 0


def _target_cells(outcome: Outcome, verdict: Verdict) -> list[str]:
    words = {True: "[green]met[/]", False: "[red]missed[/]", None: "[yellow]not measured[/]"}
    claim = escape(f"{verdict.target.ours} {verdict.target.text(outcome.case.unit)}")
    ratio = "" if verdict.ratio is None else number(verdict.ratio)
    return [outcome.case.key, str(outcome.pin), claim, ratio, words[verdict.met]]


class Journal:
    """JSON lines of one run: first the machine, then one line per subject, then one per target."""

    def __init__(self, directory: Path, machine: dict[str, str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"{time.strftime('%Y%m%dT%H%M%S')}.jsonl"
        self._write({"type": "machine", **machine})

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def note(self, outcome: Outcome) -> None:
        where = {"case": outcome.case.key, "pin": str(outcome.pin), "unit": outcome.case.unit}
        for row in outcome.rows:
            self._write({"type": "subject", **where, **_record(row)})
        for text, ratio in ratios(outcome):
            self._write({"type": "ratio", **where, "of": text, "ratio": ratio})
        for verdict in verdicts(outcome):
            text = f"{verdict.target.ours} {verdict.target.text(outcome.case.unit)}"
            judged = {"target": text, "ratio": verdict.ratio, "met": verdict.met}
            self._write({"type": "target", **where, **judged})


def _record(row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {"subject": row.subject.name, "role": row.subject.role}
    if row.samples:
        record.update(median=row.median, min=row.least, max=row.most)
        record["values"] = [sample.value for sample in row.samples]
        record["extra"] = [sample.extra for sample in row.samples]
    if row.over:
        record.update(skipped=row.skipped, failed=row.failed)
    return record
