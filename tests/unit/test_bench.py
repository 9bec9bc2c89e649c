"""bench/ as far as it needs no machine: what is built where, which peers are named as missing, and
that every target and every ratio speaks of subjects that its case has."""

from pathlib import Path

import pytest

from bench import report, tools
from bench.cases import all_cases
from bench.model import Case, Pin, Sample, Settings, SkippedError, Subject
from bench.peers import kotlin, rust
from bench.runner import Outcome, Row

NOTHING_IS_INSTALLED = Settings(1, 0.01, quick=True, install=False, kcoro="kcoro")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    commands: list[list[str]] = []
    monkeypatch.setattr(tools, "build", lambda words, _=None: commands.append(list(words)))
    return commands


def test_programs_of_two_languages_never_share_a_file(built: list[list[str]]) -> None:
    in_c = {tools.native.__wrapped__(name) for name in tools.C_SOURCES}
    in_go = {tools.go.__wrapped__(file.stem) for file in tools.NATIVE.glob("*.go")}
    assert len(in_c) == len(tools.C_SOURCES)
    assert in_c & in_go == set()
    outputs = [words[words.index("-o") + 1] for words in built]
    assert len(outputs) == len(set(outputs))
    assert {str(path) for path in in_c | in_go} == set(outputs)


def test_every_target_speaks_of_subjects_of_its_case() -> None:
    for case in all_cases():
        names = [subject.name for subject in case.subjects]
        assert len(names) == len(set(names)), case.key
        asked = {name for each in case.targets for name in (each.ours, each.against) if name}
        assert asked <= set(names), case.key


def test_every_ratio_that_is_told_speaks_of_subjects_of_its_case() -> None:
    for case in all_cases():
        names = {subject.name for subject in case.subjects}
        assert {name for both in case.beside for name in both} <= names, case.key


def test_a_ratio_is_told_of_medians_and_only_where_both_were_measured() -> None:
    def row(name: str, *values: float) -> Row:
        samples = [Sample(value) for value in values]
        return Row(Subject(name, "ours", lambda _: Sample(0.0)), samples)

    rows = [row("two", 5.0, 6.0, 70.0), row("one", 1.0, 4.0, 100.0), row("none"), row("idle", 0.0)]
    pairs = (("two", "one"), ("one", "two"), ("none", "one"), ("one", "none"), ("one", "idle"))
    case = Case("k", "t", "msg/s", tuple(each.subject for each in rows), beside=pairs)
    told = report.ratios(Outcome(case, Pin.FREE, rows, 0.0))
    assert told == [("two / one", 1.5), ("one / two", 4.0 / 6.0)]


def test_a_crate_that_is_not_there_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rust, "CRATES", tmp_path)
    monkeypatch.setattr(tools, "program", lambda *_: "cargo")
    with pytest.raises(SkippedError, match="apt-get install librust-crossbeam-channel-dev"):
        rust.program(NOTHING_IS_INSTALLED)


def test_a_jar_that_is_not_there_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kotlin, "JARS", {tmp_path / "kotlinx.jar": "libkotlinx-coroutines-java"})
    monkeypatch.setattr(tools, "program", lambda *_: "java")
    with pytest.raises(SkippedError, match=r"kotlinx\.jar .*libkotlinx-coroutines-java"):
        kotlin.command(NOTHING_IS_INSTALLED)
