"""`--sender`, `--ttl` and `kcoro drain` from a shell."""

import json
import os
from pathlib import Path
from typing import Any


def made(kcoro: Any, *options: str) -> str:
    name: str = kcoro.name()
    kcoro("make", name, "--kind", "unlimited", *options)
    return name


def test_recv_says_who_sent_each_in_lines_in_json_and_to_a_command(kcoro: Any) -> None:
    name = made(kcoro)
    sending = kcoro.start("send", name, "a b", "c", "d")
    assert sending.wait() == 0
    uid, pid = os.getuid(), sending.pid
    assert kcoro("recv", name, "--sender").stdout == b"%d %d a b\n" % (uid, pid)
    said = json.loads(kcoro("recv", name, "--sender", "--json").stdout)
    assert said == {"data": "c", "redelivered": False, "attempts": 0, "uid": uid, "pid": pid}
    show = 'echo "$KCORO_SENDER_UID $KCORO_SENDER_PID"; cat'
    assert kcoro("recv", name, "--sender", "--exec", show).stdout == b"%d %d\nd" % (uid, pid)


def test_recv_says_who_sent_the_value_of_a_conflated_channel(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--kind", "conflated")
    sending = kcoro.start("send", name, "now")
    assert sending.wait() == 0
    expected = b"%d %d now\n" % (os.getuid(), sending.pid)
    assert kcoro("recv", name, "--sender").stdout == expected


def test_sender_does_not_go_with_bytes_alone(kcoro: Any, tmp_path: Path) -> None:
    for words in (["--raw"], ["--length"], ["--output", str(tmp_path / "f")]):
        finished = kcoro("recv", "any", "--sender", *words)
        assert finished.returncode == 2
        assert b"--sender goes with lines" in finished.stderr


def test_a_message_may_expire_by_its_send_and_by_its_channel(kcoro: Any) -> None:
    name, brief = made(kcoro), made(kcoro, "--ttl", "0.001")
    kcoro("send", name, "milk", "--ttl", "0.001")
    kcoro("send", brief, "milk")
    kcoro("send", name, "wine", "--ttl", "1000")
    for channel, left in ((name, 1), (brief, 0)):
        while (now := json.loads(kcoro("stat", channel, "--json").stdout))["ready"] > left:
            pass
        assert (now["expired"], now["undelivered_dropped"]) == (1, 1)
    assert kcoro("recv", name).stdout == b"wine\n"


def test_what_nobody_takes_in_its_time_was_not_sent(kcoro: Any) -> None:
    finished = kcoro("send", kcoro.name(), "milk", "--ttl", "0.01")
    assert finished.returncode == 4
    assert b"the time was over" in finished.stderr


def test_drain_writes_all_and_says_how_many(kcoro: Any) -> None:
    name = made(kcoro)
    kcoro("send", name, "a", "b", "c")
    finished = kcoro("drain", name)
    assert (finished.returncode, finished.stdout) == (0, b"a\nb\nc\n")
    assert finished.stderr == b"kcoro: 3 messages drained from channel %s\n" % name.encode()
    again = kcoro("drain", name)
    assert (again.returncode, again.stdout) == (0, b"")
    assert again.stderr == b"kcoro: 0 messages drained from channel %s\n" % name.encode()


def test_drain_closes_first_and_appends_to_its_file(kcoro: Any, tmp_path: Path) -> None:
    name = made(kcoro, "--ack-required")
    kept = tmp_path / "kept"
    kept.write_bytes(b"before\n")
    kcoro("send", name, "a")
    finished = kcoro("drain", name, "--close", "--output", str(kept))
    assert (finished.returncode, finished.stdout) == (0, b"")
    assert kept.read_bytes() == b"before\na\n"
    assert kcoro("send", name, "late").returncode == 5


def test_what_drain_could_not_write_stays(kcoro: Any) -> None:
    name = made(kcoro)
    kcoro("send", name, "a", "b")
    finished = kcoro("drain", name, "--output", "/dev/full")
    assert finished.returncode == 1
    assert b"No space left" in finished.stderr
    missing = kcoro("drain", name, "--output", "/nowhere/f")
    assert missing.returncode == 1
    assert b"cannot write /nowhere/f" in missing.stderr
    assert kcoro("recv", name, "--count", "2").stdout == b"a\nb\n"


def test_drain_takes_what_parked_senders_put_behind_it_and_makes_no_channel(kcoro: Any) -> None:
    name = kcoro.name()
    assert kcoro("drain", name).returncode == 8
    kcoro("make", name)
    sending = kcoro.start("send", name, "a", "b", "c")
    kcoro.until_waiting(name, "senders")
    assert kcoro("drain", name).stdout == b"a\nb\nc\n"
    assert sending.wait() == 0
