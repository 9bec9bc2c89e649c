"""Who is at the other end: connections that were passed on, and numbers of processes used again.

Numbers are those of the hostile list: 31 a connected socket is passed to another user, 32 a pid is
another process's by now. A connection is whoever connected it (SO_PEERCRED), for as long as it
lives: docs/decisions/0048-a-connection-is-who-connected.md.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import _wire
from tests.e2e.harness import DaemonProcess, running_daemon
from tests.fault.passer import ROOT, Passer
from tests.fault.peer import Peer

ALICE, BOB = 12_345, 23_456
EACCES, ENOENT = _wire.KC_EACCES, _wire.KC_ENOENT
SENDER = _wire.FLAG_RECV_SENDER
PRIVATE = {"KIND": 1, "CAPACITY": 8, "MODE": 0o600}
NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it is several users")


@pytest.fixture
def daemon(socket_dir: Path) -> Iterator[DaemonProcess]:
    """One that every user may connect to."""
    socket_dir.chmod(0o755)
    with running_daemon(socket_dir, "--socket-mode", "666", log_level="debug") as made:
        yield made


@pytest.fixture
def alice() -> Iterator[Passer]:
    with Passer(ALICE) as made:
        yield made


@pytest.fixture
def bob() -> Iterator[Passer]:
    with Passer(BOB) as made:
        yield made


def of(passer: Passer, daemon: DaemonProcess) -> Peer:
    """A connection of that user, in our hands: we are root."""
    peer = passer.connect(daemon.stream)
    assert peer.hello()["ABI_MINOR"] == 1
    return peer


def opened(peer: Peer, name: str) -> int:
    return peer.result("CHAN_OPEN", NAME=name.encode(), FLAGS=3, TIMEOUT_MS=0)


def senders(peer: Peer, chan: int) -> list[tuple[int, int]]:
    """Uid and pid of what waits in a channel, in order."""
    found: list[tuple[int, int]] = []
    words = {"CHAN_ID": chan, "TIMEOUT_MS": 0, "FLAGS": SENDER}
    while (answer := peer.ask("CHAN_RECV", **words))["RESULT"] == 0:
        found += [(item["SENDER_UID"], item["SENDER_PID"]) for item in answer["ITEM"]]
    return found


# --- 31: a connection that was passed on ---


def test_31_who_was_passed_a_connection_has_the_rights_of_who_connected(
    daemon: DaemonProcess, alice: Passer, bob: Passer
) -> None:
    """Contract 4.19: it opens, sends and manages as the owner; its own connection sees nothing."""
    with of(alice, daemon) as passed, of(bob, daemon) as own:
        chan = passed.make("hers", **PRIVATE)
        assert bob.ask(own, "CHAN_OPEN", NAME=b"hers", FLAGS=3, TIMEOUT_MS=0)["RESULT"] == ENOENT
        assert bob.ask(passed, "CHAN_SEND", CHAN_ID=chan, ELEMENT=b"x")["RESULT"] == 0
        assert senders(passed, chan) == [(ALICE, alice.pid)]
        assert bob.ask(own, "CHAN_DESTROY", CHAN_ID=chan)["RESULT"] == ENOENT
        assert bob.ask(passed, "CHAN_DESTROY", CHAN_ID=chan)["RESULT"] == 0


def test_31_what_is_made_on_a_passed_connection_belongs_to_who_connected(
    daemon: DaemonProcess, alice: Passer, bob: Passer
) -> None:
    with of(alice, daemon) as passed, of(bob, daemon) as own, of(alice, daemon) as hers:
        made = bob.ask(passed, "CHAN_MAKE", NAME=b"made by bob", **PRIVATE)
        assert made["RESULT"] == 0
        assert opened(own, "made by bob") == ENOENT
        assert opened(hers, "made by bob") == 0


def test_31_root_has_no_rights_of_root_on_a_connection_that_another_user_made(
    daemon: DaemonProcess, alice: Passer, bob: Passer
) -> None:
    """We write to it ourselves, as root; on a connection of our own we may do all of it."""
    with of(alice, daemon) as passed, of(bob, daemon) as his, Peer(daemon.connect()) as ours:
        ours.hello()
        his.make("his", **PRIVATE)
        assert opened(passed, "his") == ENOENT
        assert opened(ours, "his") == 0
        for_bob = {"OWNER_UID": BOB, **PRIVATE}
        assert passed.result("CHAN_MAKE", NAME=b"for bob", **for_bob) == EACCES
        assert ours.result("CHAN_MAKE", NAME=b"for bob", **for_bob) == 0


def test_31_a_connection_that_was_passed_before_hello_is_its_makers_too(
    daemon: DaemonProcess, alice: Passer, bob: Passer
) -> None:
    """Not who greets, and not who sends first: who called connect(2)."""
    with alice.connect(daemon.stream) as passed, of(alice, daemon) as hers:
        greeted = bob.ask(passed, "HELLO", ABI_MAJOR=1, ABI_MINOR=1)
        assert greeted["ABI_MINOR"] == 1
        chan = hers.make("hers", **PRIVATE)
        assert bob.ask(passed, "CHAN_OPEN", NAME=b"hers", FLAGS=3)["RESULT"] == 0
        assert bob.ask(passed, "CHAN_SEND", CHAN_ID=chan, ELEMENT=b"x")["RESULT"] == 0
        assert senders(hers, chan) == [(ALICE, alice.pid)]


def test_31_a_passed_connection_outlives_its_maker_and_is_told_with_its_number(
    daemon: DaemonProcess, alice: Passer
) -> None:
    with of(alice, daemon) as passed, Peer(daemon.connect()) as ours:
        ours.hello()
        alice.end()
        chan = passed.make("hers", **PRIVATE)
        assert opened(ours, "hers") == 0
        assert passed.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"x") == 0
        assert senders(ours, chan) == [(ALICE, alice.pid)]
    assert f"uid={ALICE} pid={alice.pid}" in daemon.log()


# --- 32: a number of a process that is used again ---


@pytest.fixture(scope="module")
def reused() -> dict[str, Any]:
    """What tests/fault/reuser.py saw: two clients after each other in one process number."""
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no process numbers of our own here: {tried.stderr.strip()}")
    words = [*NAMESPACE, sys.executable, "-m", "tests.fault.reuser", str(ALICE), str(BOB)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["pids"][0] == seen["pids"][1]
    return seen


def test_32_messages_of_two_processes_with_one_number_have_their_own_uid(
    reused: dict[str, Any],
) -> None:
    """Contract 4.19: the first one is dead, its messages are still its own."""
    pid = reused["pids"][0]
    assert reused["senders"] == [[ALICE, pid], [BOB, pid]]


def test_32_the_second_process_with_a_number_has_no_rights_of_the_first(
    reused: dict[str, Any],
) -> None:
    assert reused["opens what is the first's"] == ENOENT
    assert reused["on the first's connection"] == 0


def test_32_the_second_ends_no_operation_of_the_first(reused: dict[str, Any]) -> None:
    """It cancels under the same request id, and then dies: the first one's receive still waits."""
    assert reused["cancelled"] == [7, _wire.KC_ECANCELED]
    assert reused["received by the first"] == [7, 0, "for whoever still waits"]


def test_32_why_tells_two_connections_with_one_process_number_apart(
    reused: dict[str, Any],
) -> None:
    pid = reused["pids"][0]
    first, second = sorted(reused["why"], key=lambda one: int(one["uid"]))
    assert (first["uid"], first["pid"], first["program"]) == (ALICE, pid, "first")
    assert (second["uid"], second["pid"], second["program"]) == (BOB, pid, "second")
    assert first["conn"] != second["conn"]
    text = reused["why as text"]
    for one in (first, second):
        assert f"pid {pid} ({one['program']}) by connection {one['conn']} has waited" in text
