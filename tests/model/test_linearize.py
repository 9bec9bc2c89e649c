"""Recorded histories of threads on one channel are linearizable, and the checker can say no.

The recorder is C (record_histories.c), compiled here with the engine's sources: threads of Python
would seldom meet inside a call. KCORO_LONG=1 (make check-long) judges many more histories.
"""

import os
import random
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from linearize import Call, order_of, read_histories, world

ROOT = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("KCORO_LONG"))
HISTORIES = 20_000 if LONG else 1_000  # of each kind
AT_ONCE = 500
KINDS = {
    "rendezvous": (0, 0),
    "buffered 1": (1, 1),
    "buffered 3": (1, 3),
    "conflated": (-1, 0),
    "unlimited": (-2, 0),
}


def build(directory: Path, *flags: str) -> Path:
    """The recorder, from the engine's own sources."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler: install gcc or clang, or name one in CC")
    native = ROOT / "native"
    program = directory / "record_histories"
    sources = [*sorted((native / "core").glob("*.c")), ROOT / "tests/model/record_histories.c"]
    includes = [f"-I{native / 'include'}", f"-I{native}"]
    command = [compiler, "-std=c11", "-D_GNU_SOURCE", "-O1", *includes, *flags]
    command += [*map(str, sources), "-lpthread", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("recorder"))


def record(
    program: Path, kind: int, capacity: int, histories: int, threads: int = 6, calls: int = 40
) -> list[list[Call]]:
    numbers = (kind, capacity, threads, calls, random.randrange(1 << 30), histories)
    command = [str(program), *map(str, numbers)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = list(read_histories(done.stdout))
    assert len(found) == histories
    return found


def described(name: str) -> tuple[str, int]:
    """The model's channel for a kind of the table."""
    capacity = KINDS[name][1]
    return name.split()[0], {"conflated": 1, "unlimited": 1 << 20}.get(name, capacity)


def text(history: list[Call]) -> str:
    return "\n".join(map(str, sorted(history, key=lambda call: call.before)))


@pytest.mark.parametrize("name", KINDS)
def test_histories_of_threads_are_linearizable(recorder: Path, name: str) -> None:
    for _ in range(HISTORIES // AT_ONCE):
        for history in record(recorder, *KINDS[name], AT_ONCE):
            assert order_of(history, lambda: world(*described(name))) is not None, text(history)


def test_histories_hold_what_is_to_be_judged(recorder: Path) -> None:
    history = [call for found in record(recorder, 0, 0, 40) for call in found]
    seen = {(call.name, call.code) for call in history}
    assert {("send", 0), ("send", 1), ("receive", 0), ("receive", 1), ("take", 0)} <= seen
    assert {("cancel", 0), ("cancel", -16), ("close", 0), ("send", -32), ("receive", -32)} <= seen


def test_histories_hold_calls_that_overlap(recorder: Path) -> None:
    overlapping = 0
    for history in record(recorder, 0, 0, 40):
        calls = sorted(history, key=lambda call: call.before)
        overlapping += sum(b.before < a.after for a, b in pairwise(calls))
    assert overlapping >= 40


# --- the checker itself ---


def call(thread: int, before: int, after: int, name: str, user: int, code: int, value: int) -> Call:
    return Call(thread, before, after, name, user, code, value)


IN_ORDER = [
    call(0, 1, 2, "send", 1, 0, 0),
    call(0, 3, 4, "send", 2, 0, 0),
    call(1, 5, 6, "receive", 3, 0, 1),
    call(1, 7, 8, "receive", 4, 0, 2),
]


def test_a_history_in_order_is_accepted() -> None:
    assert order_of(IN_ORDER, lambda: world("buffered", 2)) == IN_ORDER


def test_a_reordered_history_is_rejected() -> None:
    reordered = [*IN_ORDER[:2], IN_ORDER[2]._replace(value=2), IN_ORDER[3]._replace(value=1)]
    assert order_of(reordered, lambda: world("buffered", 2)) is None


def test_calls_that_overlap_may_have_happened_in_either_order() -> None:
    overlapping = [IN_ORDER[0]._replace(after=9), *IN_ORDER[1:]]
    overlapping[1] = overlapping[1]._replace(thread=2)
    swapped = [*overlapping[:2], IN_ORDER[2]._replace(value=2), IN_ORDER[3]._replace(value=1)]
    assert order_of(overlapping, lambda: world("buffered", 2)) is not None
    assert order_of(swapped, lambda: world("buffered", 2)) is not None


@pytest.mark.parametrize(
    "history",
    [
        [call(0, 1, 2, "receive", 1, 0, 9)],  # out of nothing
        [call(0, 1, 2, "send", 1, 0, 0)],  # a rendezvous with nobody
        [call(0, 1, 2, "send", 1, 1, 0), call(0, 3, 4, "take", 1, 0, 0)],  # taken by nobody
        [
            call(0, 1, 2, "send", 1, 1, 0),
            call(1, 3, 4, "cancel", 1, 0, 0),
            call(1, 5, 6, "receive", 2, 0, 1),  # after its cancel
        ],
        [
            call(0, 1, 2, "send", 1, 1, 0),
            call(1, 3, 4, "receive", 2, 0, 1),
            call(1, 5, 6, "receive", 3, 0, 1),  # twice
        ],
        [call(0, 1, 2, "close", 0, 0, 0), call(0, 3, 4, "send", 1, 1, 0)],  # after the close
    ],
    ids=["invented", "unmatched", "unearned", "undead", "doubled", "unclosed"],
)
def test_an_impossible_history_is_rejected(history: list[Call]) -> None:
    assert order_of(history, lambda: world("rendezvous", 0)) is None


def swap_two_values(history: list[Call], dice: random.Random) -> list[Call]:
    """The history with the messages of two receives exchanged."""
    places = [i for i, found in enumerate(history) if found.value]
    a, b = dice.sample(places, 2)
    swapped = list(history)
    swapped[a] = history[a]._replace(value=history[b].value)
    swapped[b] = history[b]._replace(value=history[a].value)
    return swapped


def test_exchanged_messages_in_recorded_histories_are_noticed(recorder: Path) -> None:
    dice = random.Random(1)
    histories = [
        found
        for found in record(recorder, *KINDS["buffered 3"], 40, threads=3, calls=20)
        if sum(call.value > 0 for call in found) >= 2
    ]
    swapped = [swap_two_values(history, dice) for history in histories]
    rejected = sum(order_of(one, lambda: world("buffered", 3)) is None for one in swapped)
    assert len(histories) >= 20
    assert rejected >= len(histories) / 2


def test_a_buffer_that_takes_one_too_many_shows_in_its_histories(tmp_path: Path) -> None:
    planted = build(tmp_path, "-DKC_MUTANT=2")
    histories = record(planted, *KINDS["buffered 1"], 20, threads=3, calls=20)
    rejected = sum(order_of(history, lambda: world("buffered", 1)) is None for history in histories)
    assert rejected >= len(histories) / 4
