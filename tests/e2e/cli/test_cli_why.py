"""kcoro why: sentences about real processes, and a real deadlock of theirs."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from kcoro_ipc import blocking

LIMIT_S = 60
# Sends on its first channel until that is full and it waits; never comes to receive.
PROGRAM = """
import sys
from kcoro_ipc import blocking
mine, other, name = sys.argv[1:]
with blocking.open_client(name=name) as client:
    out = client.open_channel(mine, capacity=1, kind="buffered", read=False)
    client.open_channel(other, capacity=1, kind="buffered", write=False)
    print("ready", flush=True)
    sys.stdin.readline()
    while True:
        out.send(b"x")
"""


def run(kcoro: Any, sends: str, receives: str, name: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", PROGRAM, sends, receives, name]
    started = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=kcoro.environment()
    )
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    return started


def until_all_wait(kcoro: Any, names: list[str]) -> None:
    limit = time.monotonic() + LIMIT_S
    with blocking.open_client(kcoro.socket) as client:
        while not all(client.statistics(name).parked_senders for name in names):
            assert time.monotonic() < limit


@pytest.mark.parametrize("number", [2, 3])
def test_a_ring_of_processes_is_found_and_shown(kcoro: Any, number: int) -> None:
    names = [kcoro.name() for _ in range(number)]
    ring = [run(kcoro, names[i], names[i - 1], f"ring-{i}.py") for i in range(number)]
    try:
        for one in ring:
            assert one.stdin is not None
            one.stdin.write(b"go\n")
            one.stdin.flush()
        until_all_wait(kcoro, names)
        found = kcoro("why", names[0])
        assert found.returncode == 10, found
        lines = found.stdout.decode().splitlines()
        assert lines[0].startswith(f"pid {ring[0].pid} (ring-0.py) has waited ")
        after = ring[1 % number]
        assert (
            f"to send to '{names[0]}': the channel is full (1 of 1); it can be received by "
            f"pid {after.pid} (ring-1.py), which is parked sending on '{names[1 % number]}'"
        ) in lines[0]
        assert lines[1].startswith(f"DEADLOCK: {number} connections wait only for each other")
        assert len(lines) == 2 + number
        assert "which waits for pid" in lines[2]
        told = json.loads(kcoro("why", "--json").stdout)
        assert {one["pid"] for one in told["deadlock"]} == {one.pid for one in ring}
        assert len(told["stuck"]) == number
        with blocking.open_client(kcoro.socket) as client:  # whoever could help ends it
            helper = client.open_channel(names[0], write=False)
            assert kcoro("why").returncode == 0
            helper.aclose()
        assert kcoro("why").returncode == 10
        kcoro("recv", names[0])
    finally:
        for one in ring:
            one.kill()
            one.communicate()


def test_a_receiver_that_waits_for_nobody_in_particular_is_no_deadlock(kcoro: Any) -> None:
    name = kcoro.name()
    waiting = kcoro.start("recv", name)
    kcoro.until_waiting(name, "receivers")
    found = kcoro("why", name)
    line = found.stdout.decode()
    assert found.returncode == 0
    assert line.startswith(f"pid {waiting.pid} (kcoro recv) has waited ")
    assert line.endswith(
        f"s to receive from '{name}': the channel is empty; "
        "nobody has a handle that could send one\n"
    )


def test_a_limit_is_told_and_who_could_serve(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro.start("recv", name, "--timeout", "50")
    kcoro.until_waiting(name, "receivers")
    with blocking.open_client(kcoro.socket, name="by-hand\x1b[31m") as client:
        client.open_channel(name, read=False)
        line = kcoro("why", name).stdout.decode()
    assert "it can be sent to by pid " in line
    assert (
        "(by-hand\\x1b[31m), which is not waiting; the wait has a limit and ends by itself\n"
        in line
    )


def test_nobody_waiting_and_no_such_channel(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name)
    assert kcoro("why", name).stdout.decode() == f"nobody waits at '{name}'\n"
    assert kcoro("why", "no-such-channel").returncode == 8
    assert json.loads(kcoro("why", name, "--json").stdout) == {
        "waits": [],
        "stuck": [],
        "deadlock": [],
    }
