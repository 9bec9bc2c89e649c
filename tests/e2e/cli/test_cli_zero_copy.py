"""Large files and open files from the shell: send --file, recv --output, --pass-stdin, --exec."""

import hashlib
import json
import os
import select
import shlex
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from kcoro_ipc import blocking

LARGE = 40 << 20  # over the longest element, so it can only go by descriptor
LineOf = Callable[[Any], str]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(1 << 20) * (LARGE >> 20) + b"tail")
    return path


@pytest.fixture
def jobs(kcoro: Any) -> str:
    """A channel with four places."""
    name: str = kcoro.name()
    assert kcoro("make", name, "--capacity", "4").returncode == 0
    return name


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def counters(kcoro: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kcoro("stat", name, "--json").stdout)
    return found


def pass_stdin(kcoro: Any, path: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    with path.open("rb") as source:
        return subprocess.run(
            kcoro.command("send", *words, "--pass-stdin"),
            stdin=source,
            capture_output=True,
            env=kcoro.environment(),
        )


def test_a_file_over_the_longest_element_arrives_whole_and_no_byte_goes_through_the_daemon(
    kcoro: Any, jobs: str, large: Path, tmp_path: Path
) -> None:
    assert kcoro("send", jobs, "--file", str(large)).returncode == 0
    waiting = counters(kcoro, jobs)
    assert (waiting["descriptors"], waiting["bytes"]) == (1, 0)
    out = tmp_path / "out"
    assert kcoro("recv", jobs, "--output", str(out)).returncode == 0
    assert digest(out) == digest(large)
    after = counters(kcoro, jobs)
    assert (after["zref_sent"], after["zref_received"], after["descriptors"]) == (1, 1, 0)
    assert after["total_bytes_recv"] == LARGE + 4


def test_a_file_of_200_megabytes_through_a_waiting_receiver_keeps_its_digest(
    kcoro: Any, jobs: str, tmp_path: Path
) -> None:
    path, out = tmp_path / "huge", tmp_path / "out"
    digest_in = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(50):
            block = os.urandom(4_000_000)
            digest_in.update(block)
            file.write(block)
    waiting = kcoro.start("recv", jobs, "--output", str(out))
    kcoro.until_waiting(jobs, "receivers")
    assert kcoro("send", jobs, "--file", str(path), "--confirm").returncode == 0
    assert waiting.wait() == 0
    assert digest(out) == digest_in.hexdigest()
    path.unlink()
    out.unlink()


def test_a_file_that_no_quota_holds_is_refused_and_names_it_and_a_shorter_one_goes_as_bytes(
    kcoro: Any, large: Path, tmp_path: Path, line_of: LineOf
) -> None:
    path = str(tmp_path / "s")
    kcoro.serve(path, "--limit", "region_bytes_per_uid=64K")
    kcoro("make", "jobs", "--capacity", "4", "--socket", path)
    refused = kcoro("send", "jobs", "--file", str(large), "--socket", path)
    assert refused.returncode == 7
    assert "limits.region_bytes_per_uid" in line_of(refused)
    shorter = tmp_path / "shorter"
    shorter.write_bytes(bytes(1 << 20))
    assert kcoro("send", "jobs", "--file", str(shorter), "--socket", path).returncode == 0
    found = json.loads(kcoro("stat", "jobs", "--json", "--socket", path).stdout)
    assert (found["bytes"], found["zref_fallback_capacity"]) == (1 << 20, 1)


def test_a_small_file_goes_as_bytes(kcoro: Any, jobs: str, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"few\n")
    assert kcoro("send", jobs, "--file", str(small)).returncode == 0
    assert counters(kcoro, jobs)["bytes"] == 4
    assert kcoro("recv", jobs, "--output", "-").stdout == b"few\n"


def test_an_empty_file_is_an_empty_message(kcoro: Any, jobs: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert kcoro("send", jobs, "--file", str(empty)).returncode == 0
    out = tmp_path / "out"
    assert kcoro("recv", jobs, "--output", str(out)).returncode == 0
    assert out.read_bytes() == b""


def test_a_large_message_is_written_to_stdout_too(kcoro: Any, jobs: str, large: Path) -> None:
    kcoro("send", jobs, "--file", str(large))
    assert kcoro("recv", jobs, "--raw").stdout == large.read_bytes()


def test_output_replaces_a_file_as_a_whole_and_keeps_its_mode(
    kcoro: Any, jobs: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old and longer")
    out.chmod(0o640)
    kcoro("send", jobs, "new")
    assert kcoro("recv", jobs, "--output", str(out)).returncode == 0
    assert out.read_bytes() == b"new"
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["out"]


def test_a_message_that_cannot_be_written_stays_in_the_channel(
    kcoro: Any, jobs: str, line_of: LineOf
) -> None:
    kcoro("send", jobs, "precious")
    refused = kcoro("recv", jobs, "--output", "/nowhere/out")
    assert refused.returncode == 1
    assert (
        line_of(refused)
        == "kcoro: cannot write /nowhere/out: No such file or directory; check the path"
    )
    assert kcoro("recv", jobs).stdout == b"precious\n"


def test_an_open_file_travels_and_is_the_commands_stdin(
    kcoro: Any, jobs: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"line one\nline two\n")
    assert pass_stdin(kcoro, source, jobs, "about it").returncode == 0
    source.unlink()  # the open file is there without its name
    shown = kcoro("recv", jobs, "--exec", 'echo "$KCORO_MESSAGE"; cat')
    assert (shown.returncode, shown.stdout) == (0, b"about it\nline one\nline two\n")


def test_a_connection_to_the_daemon_is_refused_and_that_is_said(kcoro: Any, jobs: str) -> None:
    with socket.socket(socket.AF_UNIX) as own:
        own.connect(kcoro.socket)
        done = subprocess.run(
            kcoro.command("send", jobs, "--pass-stdin"),
            stdin=own,
            capture_output=True,
            env=kcoro.environment(),
        )
    assert done.returncode != 0
    assert b"a connection to this daemon cannot be passed" in done.stderr


def test_a_closed_stdin_is_not_passed_on(kcoro: Any, jobs: str) -> None:
    words = shlex.join(kcoro.command("send", jobs, "--pass-stdin"))
    done = subprocess.run(
        ["sh", "-c", f"exec {words} <&-"], env=kcoro.environment(), capture_output=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"kcoro: stdin is closed")
    assert kcoro("recv", jobs, "--try").returncode == 3


def test_the_command_finds_every_file_by_its_number(kcoro: Any, jobs: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    pass_stdin(kcoro, source, jobs)
    shown = kcoro("recv", jobs, "--exec", 'cat <&-; for n in $KCORO_FILES; do cat <&"$n"; done')
    assert shown.stdout == b"content"


@contextmanager
def sent(kcoro: Any, name: str, data: bytes, contents: list[bytes]) -> Iterator[None]:
    """A message with files of these contents waits in the channel."""
    with ExitStack() as stack:
        client = stack.enter_context(blocking.open_client(kcoro.socket))
        files = [stack.enter_context(TemporaryFile()) for _ in contents]
        for file, content in zip(files, contents, strict=True):
            file.write(content)
            file.seek(0)
        client.open_channel(name, existing=True).send(data, files=files)
        yield


def test_the_files_of_a_command_have_the_same_numbers_every_time(kcoro: Any, jobs: str) -> None:
    told = 'echo "$KCORO_FILES $KCORO_MESSAGE_FD"; cat; cat <&3; cat <&4'
    for _ in range(2):
        with sent(kcoro, jobs, b"", [b"zero ", b"three ", b"four"]):
            shown = kcoro("recv", jobs, "--exec", told)
        assert shown.stdout == b"0 3 4 5\nzero three four"


def test_sixteen_files_reach_the_command(kcoro: Any, jobs: str) -> None:
    contents = [b"%d," % number for number in range(16)]
    with sent(kcoro, jobs, b"", contents):
        told = "for n in $KCORO_FILES; do cat /dev/fd/$n; done"
        assert kcoro("recv", jobs, "--exec", told).stdout == b"".join(contents)


@pytest.mark.parametrize("data", [b"a\0b", b"x" * (1 << 20)], ids=["a NUL", "1 MiB"])
def test_bytes_that_no_environment_holds_reach_the_command_as_a_file(
    kcoro: Any, jobs: str, data: bytes
) -> None:
    with sent(kcoro, jobs, data, [b""]):
        told = 'echo "${KCORO_MESSAGE-unset}"; cat <&"$KCORO_MESSAGE_FD"'
        assert kcoro("recv", jobs, "--exec", told).stdout == b"unset\n" + data


def test_a_command_hears_nothing_of_the_message_of_a_command_around_it(
    kcoro: Any, jobs: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"")
    assert pass_stdin(kcoro, source, jobs, "outer").returncode == 0
    assert kcoro("send", jobs, "inner").returncode == 0
    names = ("MESSAGE", "FILES", "MESSAGE_FD", "SENDER_UID")
    told = "echo " + " ".join(f"${{KCORO_{name}-no}}" for name in names)
    inner = shlex.join(kcoro.command("recv", jobs, "--exec", f"{told}; cat"))
    shown = kcoro("recv", jobs, "--exec", f'echo "$KCORO_MESSAGE"; KCORO_SENDER_UID=7 {inner}')
    assert shown.stdout == b"outer\nno no no no\ninner"


def test_a_conflated_channel_hands_its_files_over_too(kcoro: Any, tmp_path: Path) -> None:
    name = kcoro.name()
    kcoro("make", name, "--kind", "conflated")
    source = tmp_path / "source"
    source.write_bytes(b"latest")
    pass_stdin(kcoro, source, name)
    assert kcoro("recv", name, "--exec", "cat").stdout == b"latest"


def test_an_interrupted_recv_ends_the_command_and_the_message_stays(
    kcoro: Any, jobs: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    pass_stdin(kcoro, source, jobs)
    waiting = kcoro.start("recv", jobs, "--exec", "echo $$; exec >&-; exec sleep 1000")
    command = int(waiting.stdout.readline())
    ended = os.pidfd_open(command)
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait() == 130
    assert select.select([ended], [], [], 60)[0]
    os.close(ended)
    assert kcoro("recv", jobs, "--exec", "cat").stdout == b"content"


def test_a_command_that_fails_gets_the_files_again(kcoro: Any, jobs: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    pass_stdin(kcoro, source, jobs)
    assert kcoro("recv", jobs, "--exec", "false").returncode == 1
    assert kcoro("recv", jobs, "--exec", "cat").stdout == b"content"


def test_files_that_nobody_asked_for_are_closed_and_that_is_said(
    kcoro: Any, jobs: str, tmp_path: Path, line_of: LineOf
) -> None:
    source = tmp_path / "source"
    source.touch()
    pass_stdin(kcoro, source, jobs, "bytes")
    taken = kcoro("recv", jobs)
    assert (taken.returncode, taken.stdout) == (0, b"bytes\n")
    assert line_of(taken) == "kcoro: 1 open file was closed; take them with recv --exec"


def test_select_says_that_it_closed_files(
    kcoro: Any, jobs: str, tmp_path: Path, line_of: LineOf
) -> None:
    source = tmp_path / "source"
    source.touch()
    pass_stdin(kcoro, source, jobs, "bytes")
    taken = kcoro("select", jobs)
    assert (taken.returncode, taken.stdout) == (0, f"{jobs}\tbytes\n".encode())
    assert line_of(taken) == "kcoro: 1 open file was closed; take them with recv --exec"


def test_select_says_that_it_closed_files_of_a_conflated_channel_too(
    kcoro: Any, tmp_path: Path, line_of: LineOf
) -> None:
    source = tmp_path / "source"
    source.touch()
    kcoro("make", "newest", "--kind", "conflated")
    pass_stdin(kcoro, source, "newest", "bytes")
    taken = kcoro("select", "newest")
    assert (taken.returncode, taken.stdout) == (0, b"newest\tbytes\n")
    assert line_of(taken) == "kcoro: 1 open file was closed; take them with recv --exec"


def test_stat_shows_which_files_wait_and_whose(kcoro: Any, jobs: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    pass_stdin(kcoro, source, jobs)
    waiting = json.loads(kcoro("stat", jobs, "--files", "--json").stdout)
    assert waiting["files"] == 1
    (entry,) = waiting["files_waiting"]
    assert (entry["files"], entry["uid"]) == (1, os.getuid())
    assert entry["age_ns"] >= 0
    mine = json.loads(kcoro("stat", "--json").stdout)
    assert (mine["files"], mine["connections"]) == (1, 1)
    kcoro("recv", jobs)


def test_stat_shows_regions_and_leases_until_they_are_given_back(kcoro: Any, jobs: str) -> None:
    def mine() -> tuple[int, int, int]:
        told = json.loads(kcoro("stat", "--json").stdout)
        return told["regions"], told["region_bytes"], told["leases"]

    assert mine() == (0, 0, 0)
    with blocking.open_client(kcoro.socket) as sender, blocking.open_client(kcoro.socket) as reader:
        with sender.loan(1 << 20) as block:
            sender.open_channel(jobs, existing=True).send(block)
        lease = reader.open_channel(jobs, existing=True).receive_lease()
        regions, region_bytes, leases = mine()
        assert (regions, leases) == (1, 1)
        assert region_bytes >= 1 << 20
        lease.release()
        reader.ping()
        assert mine()[2] == 0
    limit = time.monotonic() + 60
    while mine() != (0, 0, 0):  # a daemon hears of the end of a connection in its own time
        assert time.monotonic() < limit


def test_stat_shows_the_region_of_a_message_whose_sender_is_gone(
    kcoro: Any, jobs: str, large: Path
) -> None:
    assert kcoro("send", jobs, "--file", str(large)).returncode == 0
    told = json.loads(kcoro("stat", "--json").stdout)
    assert told["regions"] == 1
    assert told["region_bytes"] >= LARGE
    kcoro("recv", jobs, "--output", "/dev/null")
    told = json.loads(kcoro("stat", "--json").stdout)
    assert (told["regions"], told["region_bytes"]) == (0, 0)


def test_files_may_expire(kcoro: Any, tmp_path: Path) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4", "--file-ttl", "0.001")
    source = tmp_path / "source"
    source.touch()
    pass_stdin(kcoro, source, name)
    late = kcoro("recv", name, "--timeout", "0.2")  # it had one millisecond
    assert late.returncode == 4
    ended = counters(kcoro, name)
    assert (ended["files"], ended["undelivered_dropped"]) == (0, 1)


@pytest.mark.parametrize(
    "words",
    [
        ("send", "x", "--pass-stdin", "--file", "f"),
        ("send", "x", "--pass-stdin", "a", "b"),
        ("send", "x", "--pass-stdin", "--whole"),
        ("recv", "x", "--output", "f", "--count", "2"),
        ("recv", "x", "--output", "f", "--json"),
        ("recv", "x", "--output", "f", "--exec", "cat"),
        ("stat", "--files"),
        ("make", "x", "--file-ttl", "0"),
    ],
)
def test_what_does_not_go_together_is_refused(kcoro: Any, words: tuple[str, ...]) -> None:
    assert kcoro(*words).returncode == 2
