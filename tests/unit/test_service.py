"""The two protocols of a service manager, against descriptors and sockets of the test's own."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kcoro_ipc import service
from kcoro_ipc.pump import SEQPACKET, STREAM
from kcoro_ipc.service import Listeners
from kcoro_ipc.transport import TransportError

Pass = Callable[..., Listeners]


# --- passed sockets ---


@pytest.fixture
def passing(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pass]:
    """Passes sockets, given as `name=type` words, as descriptors one after the other."""
    with ExitStack() as stack:
        first = 200  # the test's own files stand below
        monkeypatch.setattr(service, "FIRST_PASSED_FD", first)

        def give(*words: str, named: bool = True, **changed: str) -> Listeners:
            for place, word in enumerate(words):
                with listening(socket_dir / f"{place}.sock", word.split("=")[1]) as made:
                    os.dup2(made.fileno(), first + place)
            environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(words))}
            if named:
                environ["LISTEN_FDNAMES"] = ":".join(word.split("=")[0] for word in words)
            environ |= changed
            found = service.passed_listeners(environ)
            for listener in (*found.channels, *found.metrics):
                stack.callback(listener.close)
            assert environ == {}
            return found

        yield give


def listening(path: Path, kind: str) -> socket.socket:
    made = socket.socket(
        socket.AF_UNIX, socket.SOCK_SEQPACKET if kind == "seqpacket" else socket.SOCK_STREAM
    )
    made.bind(str(path))
    if kind != "silent":
        made.listen(1)
    return made


def test_passed_sockets_are_told_apart_by_their_names(passing: Pass, socket_dir: Path) -> None:
    found = passing("stream=stream", "metrics=stream", "seqpacket=seqpacket", "stream=stream")
    assert [one.transport for one in found.channels] == [STREAM, SEQPACKET, STREAM]
    assert [one.address.path for one in found.channels] == [
        f"{socket_dir}/{place}.sock" for place in (0, 2, 3)
    ]
    assert [one.address.path for one in found.metrics] == [f"{socket_dir}/1.sock"]
    for one in (*found.channels, *found.metrics):
        assert not os.get_inheritable(one.socket.fileno())
        assert not one.socket.getblocking()


def test_passed_sockets_without_names_are_for_channels(passing: Pass) -> None:
    found = passing("=stream", "=seqpacket", named=False)
    assert [one.transport for one in found.channels] == [STREAM, SEQPACKET]
    assert found.metrics == []


def test_a_passed_path_outlives_the_daemon(passing: Pass, socket_dir: Path) -> None:
    (listener,) = passing("seqpacket=seqpacket").channels
    listener.close()
    assert (socket_dir / "0.sock").is_socket()


def test_a_name_that_nobody_knows_is_said_and_the_others_are_served(
    passing: Pass, socket_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = passing("kcoro.socket=stream", "stream=stream")
    assert [one.address.path for one in found.channels] == [f"{socket_dir}/1.sock"]
    (record,) = caplog.records
    assert record.getMessage() == "passed descriptor not used"
    assert record.fields == {  # type: ignore[attr-defined]
        "name": "kcoro.socket",
        "fd": 200,
        "why": "FileDescriptorName= is none of stream, seqpacket, metrics",
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stream=seqpacket"], "0.sock is a seqpacket socket but is named stream; correct"),
        (["stream=stream", "seqpacket=stream"], "1.sock is a stream socket but is named seqpacket"),
        (["stream=stream", "metrics=seqpacket"], "but is named metrics"),
        (["metrics=stream"], "no socket for channels was passed; name one by FileDescriptorName="),
        (["foreign=stream"], "no socket for channels was passed"),
        (["stream=silent"], "descriptor 200 of LISTEN_FDS is no listening Unix socket"),
    ],
)
def test_sockets_that_do_not_fit_are_refused_with_the_reason_and_closed(
    passing: Pass, words: list[str], says: str
) -> None:
    with pytest.raises(TransportError) as caught:
        passing(*words)
    assert says in str(caught.value)
    for fd in range(200, 200 + len(words)):
        if fd - 200 <= words.index(words[-1]):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)


def test_a_descriptor_that_is_no_socket_or_is_not_there_is_named(
    passing: Pass, tmp_path: Path
) -> None:
    with pytest.raises(TransportError, match="descriptor 200 of LISTEN_FDS: Bad file descriptor"):
        passing(LISTEN_FDS="1", LISTEN_FDNAMES="stream")


def test_names_that_do_not_fit_the_number_of_sockets_are_refused(passing: Pass) -> None:
    with pytest.raises(TransportError, match="LISTEN_FDS=2 does not fit LISTEN_FDNAMES=stream"):
        passing(LISTEN_FDS="2", LISTEN_FDNAMES="stream")


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    nothing = Listeners([], [])
    own = str(os.getpid())
    assert service.passed_listeners({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == nothing
    assert service.passed_listeners({"LISTEN_PID": own, "LISTEN_FDS": "-1"}) == nothing
    assert service.passed_listeners({}) == nothing


# --- the state of things ---


@pytest.fixture
def manager(socket_dir: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(socket_dir / "notify"))
        bound.settimeout(20)
        yield bound


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_every_state_is_one_datagram_of_assignments(manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname()}
    pid = f"MAINPID={os.getpid()}"
    assert service.ready(environ=environ)
    assert told(manager) == ["READY=1", pid]
    assert service.ready("3 channels", environ)
    assert told(manager) == ["READY=1", pid, "STATUS=3 channels"]
    assert service.stopping(0.0, environ)
    assert told(manager) == ["STOPPING=1", "STATUS=ending", "EXTEND_TIMEOUT_USEC=5000000"]
    assert service.stopping(7.5, environ)
    assert told(manager) == [
        "STOPPING=1",
        "STATUS=draining for up to 7.5 s",
        "EXTEND_TIMEOUT_USEC=12500000",
    ]


def test_a_file_says_that_it_was_ready_to_whoever_looks_afterwards(tmp_path: Path) -> None:
    mark = tmp_path / "ready"
    environ = {"KCORO_READY": str(mark)}
    service.reloading(environ)
    service.stopping(0.0, environ)
    assert not mark.exists()
    service.ready(environ=environ)
    service.ready(environ=environ)
    assert mark.read_bytes() == b""
    service.ready(environ={"KCORO_READY": str(tmp_path / "absent" / "ready")})  # is no error


def test_a_reload_tells_its_time_in_the_same_datagram(manager: socket.socket) -> None:
    before_us = time.monotonic_ns() // 1000
    assert service.reloading({"NOTIFY_SOCKET": manager.getsockname()})
    after_us = time.monotonic_ns() // 1000
    first, second = told(manager)
    assert first == "RELOADING=1"
    assert before_us <= int(second.removeprefix("MONOTONIC_USEC=")) <= after_us


def test_a_manager_at_an_abstract_address_hears_it() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind(f"\0kcoro-test-{os.getpid()}")
        assert service.notify("A=1", {"NOTIFY_SOCKET": f"@kcoro-test-{os.getpid()}"})
        assert abstract.recv(64) == b"A=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "x"}, {"NOTIFY_SOCKET": "/no/such"}])
def test_no_manager_is_no_error(environ: dict[str, str]) -> None:
    assert service.notify("READY=1", environ) is False


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 20_000_000_000),
        ({"WATCHDOG_USEC": "5", "WATCHDOG_PID": str(os.getpid())}, 5_000),
        ({"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "5", "NOTIFY_SOCKET": ""}, None),
    ],
)
def test_the_watchdog_is_ours_only_when_it_names_us(
    given: dict[str, str], expected: int | None
) -> None:
    assert service.watchdog_ns({"NOTIFY_SOCKET": "/n"} | given) == expected
