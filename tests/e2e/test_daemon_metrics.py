"""The metrics socket and subscriptions of a real daemon, in both of its modes."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from kcoro_ipc import tlv
from tests.e2e.conftest import Running
from tests.e2e.eyes import Scraped, scrape

INTERVAL_MS = 100


@pytest.fixture(params=["trio", "thread"])
def daemon(request: pytest.FixtureRequest, start_daemon: Any) -> Iterator[Running]:
    running: Running = start_daemon("--metrics", "--io", request.param, log_level="warning")
    yield running
    if running.process.poll() is None:
        assert running.finish(signal.SIGINT) == 0, running.log
    assert "Traceback" not in running.log


@pytest.fixture
def place(daemon: Running) -> str:
    return str(Path(daemon.path).parent / "metrics.sock")


async def test_a_scrape_tells_what_happened_until_now(
    daemon: Running, connect: Any, place: str
) -> None:
    wire = connect(daemon)
    chan_id = wire.make("jobs", KIND=4)
    for sends in range(1, 4):
        wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=b"abc")
        found = Scraped(await scrape(place))
        mine = {"name": "jobs", "uid": str(os.getuid())}
        assert (found.sum("sends_total", **mine), found.sum("depth", **mine)) == (sends, sends)
        assert found.samples["kcoro_records", (("pool", "messages"),)] == sends
    wire.ask("CHAN_PURGE", CHAN_ID=chan_id)


def test_the_socket_is_for_owner_and_group_and_goes_with_the_daemon(
    daemon: Running, place: str
) -> None:
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o660
    assert daemon.finish(signal.SIGINT) == 0
    assert not os.path.exists(place)


async def test_a_scraper_that_never_reads_keeps_nobody_waiting_and_no_daemon_alive(
    daemon: Running, connect: Any, place: str
) -> None:
    wire = connect(daemon)
    for i in range(400):  # the text is far longer than a socket holds
        wire.make(f"{i}-{'x' * 200}")
    deaf = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for one in deaf:
        one.connect(place)
        one.sendall(b"GET /metrics HTTP/1.1\r\nHost: k\r\n\r\n")
    for _ in range(3):
        assert len(await scrape(place)) > 1 << 20
        assert wire.ask("PING")["RESULT"] == 0
    assert daemon.finish(signal.SIGINT) == 0
    for one in deaf:
        one.close()


async def test_the_pages_of_metrics_are_the_text_of_the_socket(
    daemon: Running, connect: Any, place: str
) -> None:
    wire = connect(daemon)
    for i in range(200):
        wire.make(f"channel-{i}")
    text, cursor, pages = b"", {}, 0
    while pages == 0 or cursor:
        answer = wire.ask("METRICS", **cursor)
        text += answer.get("TEXT", b"")
        cursor = {"CURSOR": answer["CURSOR"]} if "CURSOR" in answer else {}
        pages += 1
    assert pages > 4
    moving = ("kcoro_turns", "kcoro_frames", "kcoro_control", "process_")

    def still(told: str) -> list[str]:
        return [line for line in told.splitlines() if not line.startswith(moving)]

    assert still(text.decode()) == still(await scrape(place))


def values(event: dict[str, Any]) -> dict[str, int]:
    return {tlv.STATS[one["STAT_ID"] - 1]: one["VALUE"] for one in event.get("STAT", [])}


async def test_64_subscribers_that_never_read_skip_events_and_are_right_again_when_they_do(
    daemon: Running, connect: Any, place: str
) -> None:
    deaf, wire = connect(daemon), connect(daemon)
    chan_id = wire.make("jobs", KIND=4)
    for req_id in range(1, 65):
        deaf.write("SUBSCRIBE", REQ_ID=req_id, CHAN_ID=chan_id, INTERVAL_MS=INTERVAL_MS)

    async def skipped() -> float:
        found = Scraped(await scrape(place)).samples
        return found["kcoro_subscription_events_total", (("fate", "skipped"),)]

    with trio.fail_after(90):  # as long as it takes to fill what the kernel holds
        while await skipped() < 64:
            for _ in range(50):
                assert wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=b"x")["RESULT"] == 0
                assert wire.ask("CHAN_RECV", CHAN_ID=chan_id)["RESULT"] == 0
    now = wire.stats(chan_id)
    known: dict[int, dict[str, int]] = {req_id: {} for req_id in range(1, 65)}
    told_as_skipped = 0
    while any(one != now for one in known.values()):
        event = deaf.read()
        known[event["REQ_ID"]] |= values(event)
        told_as_skipped += event.get("EVENTS_SKIPPED", 0)
    assert told_as_skipped >= 64


async def test_watching_changes_nothing_in_what_is_watched(daemon: Running, connect: Any) -> None:
    watcher, wire = connect(daemon), connect(daemon)
    chan_id = wire.make("jobs", KIND=4)
    wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=b"x")
    before = wire.stats(chan_id)
    for req_id in (1, 2, 3):
        watcher.write("SUBSCRIBE", REQ_ID=req_id, CHAN_ID=chan_id, INTERVAL_MS=INTERVAL_MS)
    told: dict[int, list[dict[str, int]]] = {req_id: [] for req_id in (1, 2, 3)}
    while min(map(len, told.values())) < 4:  # whatever the order of one and another subscription
        event = watcher.read()
        told[event["REQ_ID"]].append(values(event))
    for events in told.values():
        assert events == [before] + [{}] * (len(events) - 1)
    assert wire.stats(chan_id) == before
    wire.ask("CHAN_PURGE", CHAN_ID=chan_id)


def test_a_place_that_cannot_be_had_is_named_and_nothing_is_left(socket_dir: Path) -> None:
    metrics = socket_dir / "file"
    metrics.write_text("mine")
    words = ["--listen", str(socket_dir / "k.sock"), "--metrics", str(metrics)]
    command = [sys.executable, "-m", "kcoro_ipc", "serve", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert (
        done.stderr == f"kcoro: {metrics} exists and is no socket; remove it or listen elsewhere\n"
    )
    assert os.listdir(socket_dir) == ["file"]
