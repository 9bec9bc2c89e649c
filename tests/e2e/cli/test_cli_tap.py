"""kcoro tap: copies in each framing, what was missed, and that nothing is changed."""

import json
import signal
from typing import Any

import pytest

from kcoro_ipc import blocking


def tapping(kcoro: Any, name: str, *words: str, number: int = 1) -> Any:
    """A tap that is in place: its anonymous channel is there, and it waits in it."""
    with blocking.open_client(kcoro.socket) as client:
        before = {info.chan_id for info in client.list_channels()}
        started = kcoro.start("tap", name, *words)
        while len(taps := {info.chan_id for info in client.list_channels()} - before) < number:
            assert started.poll() is None, started.stderr.read()
        while not all(client.statistics(tap).parked_receivers for tap in taps):
            assert started.poll() is None, started.stderr.read()
    return started


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ([], b"one\ntwo words\n"),
        (["-0"], b"one\0two words\0"),
        (["--length"], b"\0\0\0\x03one\0\0\0\x09two words"),
        (["--raw"], b"onetwo words"),
        (["--bytes", "2"], b"on\ntw\n"),
    ],
)
def test_each_message_is_copied_in_the_form_asked_for(
    kcoro: Any, form: list[str], wanted: bytes
) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    watching = tapping(kcoro, name, "--count", "2", *form)
    kcoro("send", name, "one", "two words")
    out, said = watching.communicate(timeout=60)
    assert (watching.returncode, out) == (0, wanted)
    assert said == b"kcoro: 0 copies were missed\n"
    assert kcoro("recv", name, "--count", "2").stdout == b"one\ntwo words\n"
    counted = json.loads(kcoro("stat", name, "--json").stdout)
    assert (counted["total_sends"], counted["total_recvs"]) == (2, 2)


def test_json_tells_place_time_and_size_also_of_a_descriptor(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--kind", "unlimited")
    kcoro("send", name, "before")
    watching = tapping(kcoro, name, "--count", "2", "--json")
    kcoro("send", name, "abc")
    with blocking.open_client(kcoro.socket) as client:
        channel = client.open_channel(name)
        with client.loan(1 << 20) as block:
            block[:4] = b"data"
            channel.send(block)
        rows = [json.loads(line) for line in watching.communicate(timeout=60)[0].splitlines()]
    assert [(row["place"], row["size"], row["sort"]) for row in rows] == [
        (2, 3, "bytes"),
        (3, 1 << 20, "descriptor"),
    ]
    assert rows[0]["data"] == "abc"
    assert "data" not in rows[1]
    assert abs(rows[1]["time"] - rows[0]["time"]) < 3600


def test_it_ends_with_its_channel_and_on_interrupt_and_says_what_was_missed(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--kind", "unlimited")
    first = tapping(kcoro, name)
    second = tapping(kcoro, name)
    second.send_signal(signal.SIGINT)
    assert second.communicate(timeout=60)[1] == b"kcoro: 0 copies were missed\n"
    assert second.returncode == 130
    kcoro("send", name, "x")
    kcoro("destroy", name)
    out, said = first.communicate(timeout=60)
    assert (first.returncode, out, said) == (0, b"x\n", b"kcoro: 0 copies were missed\n")


def test_a_tap_that_is_not_read_misses_the_oldest_and_slows_nobody(kcoro: Any) -> None:
    name = kcoro.name()
    with blocking.open_client(kcoro.socket) as client:
        channel = client.open_channel(name, kind="unlimited")
        with client.tap(name, capacity=4) as copies:
            channel.send_many([b"%d" % i for i in range(100)])
            assert [one.data for one in copies.receive_many(64)] == [b"96", b"97", b"98", b"99"]
            assert copies.statistics().drops_oldest == 96
        assert len(channel.receive_many(100)) == 100
        assert {info.name for info in client.list_channels() if info.name is None} == set()


def test_what_cannot_be_tapped_is_said(kcoro: Any, line_of: Any) -> None:
    assert kcoro("tap", "no-such-channel").returncode == 8
    name = kcoro.name()
    kcoro("make", name)
    assert kcoro("tap", name, "--capacity", "0").returncode == 2
    refused = kcoro("tap", name, "--bytes", "0")
    assert refused.returncode == 2
    assert "a copy has 1 to " in line_of(refused)
