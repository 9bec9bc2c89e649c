"""Pipelines: what goes into `kcoro send` comes out of `kcoro recv`, whole and in order."""

import hashlib
import json
import os
import signal
import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MANY = 100_000


def numbers(first: int, last: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(first, last + 1))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fed(kcoro: Any, data: bytes, *words: str) -> subprocess.Popen[bytes]:
    """`kcoro ...` in the background with `data` on its stdin, from a file: nothing can block."""
    import tempfile

    with tempfile.TemporaryFile() as source:
        source.write(data)
        source.seek(0)
        started: subprocess.Popen[bytes] = kcoro.start(*words, stdin=source)
    return started


@pytest.mark.parametrize("kind", [(), ("--capacity", "64"), ("--kind", "unlimited")])
def test_a_hundred_thousand_lines_arrive_whole_and_in_order(
    kcoro: Any, kind: tuple[str, ...]
) -> None:
    name = kcoro.name()
    kcoro("make", name, *kind)
    sending = fed(kcoro, numbers(1, MANY), "send", name)
    received = kcoro("recv", name, "--count", str(MANY))
    assert (received.returncode, received.stderr) == (0, b"")
    assert sha256(received.stdout) == sha256(numbers(1, MANY))
    assert sending.wait() == 0


def test_send_and_recv_meet_in_a_channel_that_nobody_made_and_leave_none(kcoro: Any) -> None:
    name = kcoro.name()
    receiving = kcoro.start("recv", name)
    kcoro.until_waiting(name, "receivers")
    assert kcoro("send", name, "hello").returncode == 0
    assert receiving.communicate() == (b"hello\n", b"")
    assert kcoro("stat", name).returncode == 8


def test_wait_waits_until_somebody_makes_the_channel(kcoro: Any) -> None:
    name = kcoro.name()
    receiving = kcoro.start("recv", name, "--wait")
    sending = kcoro.start("send", name, "x", "--wait")
    kcoro("make", name, "--capacity", "1")
    assert receiving.communicate() == (b"x\n", b"")
    assert sending.wait() == 0
    assert kcoro("stat", name, "--json").returncode == 0


def test_close_lets_followers_end_after_the_last_message(kcoro: Any) -> None:
    name = kcoro.name()
    receiving = kcoro.start("recv", name, "--follow")
    kcoro.until_waiting(name, "receivers")
    assert kcoro("send", name, "--close", stdin=b"a\nb").returncode == 0
    assert receiving.communicate() == (b"a\nb\n", b"")
    assert receiving.returncode == 0


def test_messages_before_the_first_bad_one_are_sent(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4", "--elem-size", "3")
    assert kcoro("send", name, stdin=b"one\ntwo\nthree\nsix\n").returncode == 7
    assert kcoro("recv", name, "--count", "2").stdout == b"one\ntwo\n"
    assert kcoro("recv", name, "--try").returncode == 3
    assert kcoro("send", name, "--length", stdin=b"\0\0\0\1a\0\0").returncode == 2
    assert kcoro("recv", name, "--try").stdout == b"a\n"


def test_a_file_is_one_message_and_so_is_whole_stdin(kcoro: Any, tmp_path: Any) -> None:
    name = kcoro.name()
    content = bytes(range(256)) * 4096
    (tmp_path / "file").write_bytes(content)
    kcoro("make", name, "--capacity", "2")
    assert kcoro("send", name, "--file", str(tmp_path / "file")).returncode == 0
    assert kcoro("send", name, "--whole", stdin=content).returncode == 0
    assert kcoro("recv", name, "--raw", "--count", "2").stdout == content * 2
    missing = kcoro("send", name, "--file", str(tmp_path / "missing"))
    assert missing.returncode == 1
    assert b"No such file" in missing.stderr


MESSAGES = st.lists(st.binary(max_size=200), min_size=1, max_size=20)
FEW = settings(max_examples=5, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(("framing", "sign"), [("--length", None), ("-0", b"\0"), ("", b"\n")])
def test_framings_carry_any_bytes_from_end_to_end(
    kcoro: Any, framing: str, sign: bytes | None
) -> None:
    words = [framing] if framing else []

    @FEW
    @given(MESSAGES)
    def check(messages: list[bytes]) -> None:
        if sign is None:
            data = b"".join(len(one).to_bytes(4, "big") + one for one in messages)
        else:
            data = b"".join(one.replace(sign, b"?") + sign for one in messages)
        name = kcoro.name()
        kcoro("make", name, "--capacity", "32")
        assert kcoro("send", name, *words, "--close", stdin=data).returncode == 0
        finished = kcoro("recv", name, *words, "--follow")
        assert (finished.returncode, finished.stdout) == (0, data)

    check()


def test_json_carries_text_as_text_and_other_bytes_in_base64(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    kcoro("send", name, "-0", stdin="grün\n\0".encode() + b"\xff\xfe\0")
    lines = kcoro("recv", name, "--json", "--count", "2").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"data": "grün\n", "redelivered": False, "attempts": 0},
        {"data": "//4=", "encoding": "base64", "redelivered": False, "attempts": 0},
    ]


def test_a_conflated_channel_gives_the_newest_message(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--kind", "conflated")
    kcoro("send", name, "old", "new")
    assert kcoro("recv", name).stdout == b"new\n"
    kcoro("send", name, "newer")
    assert kcoro("select", name).stdout == f"{name}\tnewer\n".encode()
    assert kcoro("recv", name, "--try").returncode == 3


def test_a_receiver_killed_in_the_middle_loses_nothing(kcoro: Any) -> None:
    """Its output is a pipe that nobody empties: it is stuck in the write, with messages held."""
    name = kcoro.name()
    data = numbers(1, MANY)
    kcoro("make", name, "--capacity", "64")
    sending = fed(kcoro, data, "send", name, "--close")
    first = kcoro.start("recv", name, "--follow")
    assert first.stdout is not None
    head = first.stdout.read(1000)
    first.kill()
    head += first.stdout.read()
    rest = kcoro("recv", name, "--follow")
    assert rest.returncode == 0
    assert sending.wait() == 0
    lines = head.split(b"\n")[:-1] + rest.stdout.splitlines()
    assert sorted(set(map(int, lines))) == list(range(1, MANY + 1))
    assert rest.stdout.endswith(b"\n%d\n" % MANY)


def test_two_receivers_share_the_messages_and_none_comes_twice(kcoro: Any) -> None:
    name = kcoro.name()  # few enough for a pipe: the outputs are read one after the other
    kcoro("make", name, "--capacity", "64")
    receiving = [fed(kcoro, b"", "recv", name, "--follow") for _ in range(2)]
    assert kcoro("send", name, "--close", stdin=numbers(1, 5_000)).returncode == 0
    lines = [line for one in receiving for line in one.communicate()[0].splitlines()]
    assert sorted(map(int, lines)) == list(range(1, 5_001))


def test_confirm_ends_when_a_receiver_has_acknowledged(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    sending = kcoro.start("send", name, "--confirm", "x")
    assert kcoro("recv", name).stdout == b"x\n"
    assert sending.communicate() == (b"", b"")
    assert sending.returncode == 0


def test_exec_gets_each_message_on_its_stdin(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    kcoro("send", name, "--close", "a", "b", "c")
    finished = kcoro("recv", name, "--follow", "--exec", "tr a-z A-Z; echo")
    assert (finished.returncode, finished.stdout) == (0, b"A\nB\nC\n")
    snapshot = json.loads(kcoro("stat", name, "--json").stdout)
    assert (snapshot["acks"], snapshot["held"], snapshot["depth"]) == (3, 0, 0)


def test_a_message_whose_command_always_fails_ends_as_the_channel_says(kcoro: Any) -> None:
    name, dead = kcoro.name(), kcoro.name()
    kcoro("make", dead, "--kind", "unlimited")
    policy = ("--max-attempts", "2", "--undelivered", "dead_letter", "--dead-letter", dead)
    kcoro("make", name, "--capacity", "4", *policy)
    kcoro("send", name, "--close", "bad", "good")
    finished = kcoro("recv", name, "--follow", "--exec", 'read -r line; test "$line" = good')
    assert finished.returncode == 1
    assert finished.stderr.count(b"exited with 1") == 2
    assert kcoro("recv", dead).stdout == b"bad\n"


def test_an_interrupted_command_gives_its_message_back(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    kcoro("send", name, "long")
    working = kcoro.start("recv", name, "--exec", "echo $$; exec sleep 1000")
    command = int(working.stdout.readline())
    working.send_signal(signal.SIGINT)
    assert working.wait() == 130
    with pytest.raises(ProcessLookupError):
        os.kill(command, 0)
    again = json.loads(kcoro("recv", name, "--json").stdout)
    assert again == {"data": "long", "redelivered": True, "attempts": 1}
