"""A daemon under pressure: quotas, no descriptors left, many connections, faults of its own."""

import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import _wire, control, transport
from kcoro_ipc.control import COMMANDS, Command
from kcoro_ipc.daemon import Daemon, serve
from kcoro_ipc.protocol.address import Address

pytestmark = pytest.mark.e2e

EDQUOT = -122
PATIENCE_S = 20.0


# --- quotas ---


def test_a_uid_over_its_connections_hears_in_hello_which_limit_it_is(
    start_daemon: Any, connect: Any
) -> None:
    running = start_daemon("--limit", "connections_per_uid=2")
    first, _ = connect(running), connect(running)
    third = connect(running, minor=None)
    third.write("HELLO", ABI_MAJOR=1, ABI_MINOR=1)
    answer = third.read()
    assert (answer["RESULT"], answer["QUOTA_NAME"]) == (EDQUOT, b"connections per uid")
    assert (answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (2, 3)
    assert answer["QUOTA_SETTING"] == b"limits.connections_per_uid"
    assert third.at_end()
    first.close()
    again = connect(running, minor=None)
    while again.hello().get("RESULT"):  # until the daemon has seen the end of the first
        again = connect(running, minor=None)
    assert again.ask("PING")["RESULT"] == 0


def test_far_over_the_limit_connections_hear_why_at_the_door_and_the_log_says_of_each_who(
    start_daemon: Any, connect: Any
) -> None:
    running = start_daemon("--limit", "connections_per_uid=1")
    first = connect(running)
    silent = [connect(running, minor=None) for _ in range(70)]
    assert silent[-1].read()["QUOTA_NAME"] == b"connections per uid"
    assert silent[-1].at_end()
    assert first.ask("PING")["RESULT"] == 0
    said = [line for line in running.log.splitlines() if "connection refused" in line]
    who = f"uid={os.getuid()} pid={os.getpid()}"
    assert len(said) == 6
    assert all(who in line and "setting=limits.connections_per_uid" in line for line in said)


def test_a_uid_over_its_channels_hears_which_limit_it_is_and_a_destroy_makes_room(
    start_daemon: Any, connect: Any
) -> None:
    wire = connect(start_daemon("--limit", "channels_per_uid=2"))
    wire.make("a")
    wire.make("b")
    answer = wire.ask("CHAN_MAKE", NAME="c")
    assert (answer["RESULT"], answer["QUOTA_NAME"]) == (EDQUOT, b"channels per uid")
    assert (answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (2, 2)
    assert answer["QUOTA_SETTING"] == b"limits.channels_per_uid"
    assert wire.ask("CHAN_DESTROY", NAME="a")["RESULT"] == 0
    wire.ask("CHAN_RELEASE", CHAN_ID=1001)
    assert wire.ask("CHAN_MAKE", NAME="c")["RESULT"] == 0


def test_one_uid_that_takes_its_quota_leaves_the_others_theirs(
    start_daemon: Any, connect: Any, only_root: None, socket_dir: Path
) -> None:
    running = start_daemon("--limit", "channels_per_uid=1", "--socket-mode", "666")
    wire = connect(running)
    wire.make("a")
    assert wire.ask("CHAN_MAKE", NAME="b")["RESULT"] == EDQUOT
    os.chmod(socket_dir, 0o755)
    program = (
        "import os, socket, sys; from kcoro_ipc import tlv\n"
        "os.setuid(12345); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(tlv.build_frame('HELLO', [('ABI_MAJOR', 1), ('ABI_MINOR', 1)], 0))\n"
        "s.recv(4096); s.sendall(tlv.build_frame('CHAN_MAKE', [('REQ_ID', 1)], 1))\n"
        "sys.exit(-tlv.parse_frame(s.recv(4096), 1).get('RESULT'))\n"
    )
    status = os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", program, running.path)
    assert status == 0


# --- descriptors ---


def test_without_descriptors_accepting_pauses_and_goes_on_when_connections_end(
    start_daemon: Any, connect: Any
) -> None:
    running = start_daemon()
    open_now = len(os.listdir(f"/proc/{running.process.pid}/fd"))
    room = 20
    limit = (open_now + room, open_now + room)
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, limit)
    served = [connect(running) for _ in range(room)]
    waiting = [connect(running, minor=None) for _ in range(50)]
    for wire in waiting:
        wire.write("HELLO", ABI_MAJOR=1, ABI_MINOR=1)
    for wire in served:
        assert wire.ask("PING")["RESULT"] == 0
    assert running.log.count("accepting paused") == 1
    for wire in (*served, *waiting):  # each end makes room for one that waits
        if wire in waiting:
            assert wire.read()["ABI_MINOR"] == 1
        wire.close()
    assert connect(running).ask("PING")["RESULT"] == 0


def test_a_thousand_connections_are_served_and_all_descriptors_come_back(
    start_daemon: Any, connect: Any
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2_500:
        pytest.skip(f"the hard limit of descriptors is {hard}, this needs 2,500")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2_500, hard))
    try:
        running = start_daemon()
        first = connect(running)
        chan_id = first.make("jobs")
        before = len(os.listdir(f"/proc/{running.process.pid}/fd"))
        wires = [connect(running) for _ in range(1_000)]
        for wire in wires:
            wire.ask("CHAN_OPEN", NAME="jobs")
            wire.write("CHAN_RECV", REQ_ID=1, CHAN_ID=chan_id, TIMEOUT_MS=-1)
        for number, wire in enumerate(wires):
            element = str(number).encode()
            sent = first.ask("CHAN_SEND", CHAN_ID=chan_id, TIMEOUT_MS=-1, ELEMENT=[element])
            assert sent["RESULT"] == 0
            assert wire.read()["ELEMENT"] == [element]
        for wire in wires:
            wire.close()
        while first.stats(chan_id)["handles_read"] > 1:
            pass
        assert len(os.listdir(f"/proc/{running.process.pid}/fd")) == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- a daemon inside this process ---


class Inside:
    """A daemon on a trio of its own in a thread that the block owns."""

    def __init__(self, path: str, io_thread: bool) -> None:
        self.path = self.seqpacket_path = path
        self.turns = 0
        self._io_thread = io_thread
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def address(self, transport_name: str) -> str:
        return self.path

    def _run(self) -> None:
        self.status = trio.run(self._main)

    async def _main(self) -> int:
        self._token = trio.lowlevel.current_trio_token()
        listeners = [transport.listen(Address("stream", self.path))]
        return await serve(
            listeners,
            drain_s=1_000.0,
            io_thread=self._io_thread,
            signals=False,
            beside=self._hold_on,
        )

    async def _hold_on(self, daemon: Daemon) -> None:
        self.daemon = daemon
        turn = daemon.pump.turn

        def counted(*args: Any) -> Any:
            self.turns += 1
            return turn(*args)

        daemon.pump.turn = counted  # type: ignore[method-assign]
        self._ready.set()

    def settle(self, seconds: float = 0.05) -> int:
        """Waits until every task of the daemon is blocked; how many turns there were till then."""
        trio.from_thread.run(trio.testing.wait_all_tasks_blocked, seconds, trio_token=self._token)
        return self.turns

    def rests(self) -> bool:
        """No turn comes by itself for half a second; a thread that was late with its last one is
        waited for."""
        return any(self.settle() == self.settle(0.5) for _ in range(5))

    @contextmanager
    def running(self) -> Iterator["Inside"]:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        try:
            yield self
        finally:
            self.stop()
            self._thread.join(PATIENCE_S)

    def stop(self, drain: bool = False) -> None:
        """Safe twice: a run that has ended is stopped."""
        with suppress(trio.RunFinishedError):
            trio.from_thread.run_sync(self.daemon.stop, drain, trio_token=self._token)


@pytest.fixture(params=["trio", "thread"])
def inside(request: pytest.FixtureRequest, socket_dir: Path) -> Iterator[Inside]:
    with Inside(str(socket_dir / "k.sock"), request.param == "thread").running() as daemon:
        yield daemon


@pytest.mark.parametrize("where", ["control", "departure", "event"])
def test_a_planted_fault_costs_one_connection_and_never_the_daemon(
    inside: Inside,
    connect: Any,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("planted")

    bystander, victim = connect(inside), connect(inside)
    bystander.make("jobs", KIND=4)
    if where == "control":
        monkeypatch.setitem(COMMANDS, _wire.CMD_LIST, Command(0, broken))
        victim.write("LIST", REQ_ID=1)
        assert victim.read() == {"cmd": "LIST", "RESULT": _wire.KC_ECONNRESET}
        assert victim.at_end()
    elif where == "departure":
        monkeypatch.setattr(inside.daemon.broker, "depart", broken)
        victim.close()
    else:
        monkeypatch.setattr(control.watching, "tell", broken)
        victim.write("SUBSCRIBE", REQ_ID=1, NAME="jobs", INTERVAL_MS=100)
    while "ZeroDivisionError: planted" not in caplog.text:
        assert bystander.ask("PING")["RESULT"] == 0
    assert bystander.ask("CHAN_SEND", CHAN_ID=1001, ELEMENT=[b"x"])["RESULT"] == 0
    assert bystander.ask("CHAN_RECV", CHAN_ID=1001)["ELEMENT"] == [b"x"]
    monkeypatch.undo()
    assert connect(inside).ask("PING")["RESULT"] == 0


def test_a_receive_that_parks_during_the_last_flush_hears_of_the_end(
    inside: Inside, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcoro_ipc.daemon.FLUSH_S", PATIENCE_S)
    deaf, wire = connect(inside), connect(inside)
    chan_id = deaf.make("jobs", KIND=64)
    large = bytes(4 << 20)  # more than a socket buffers
    assert deaf.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[large])["RESULT"] == 0
    deaf.write("CHAN_RECV", REQ_ID=1, CHAN_ID=chan_id)
    empty = wire.make("empty")
    while not wire.stats(chan_id)["held"]:
        pass
    wire.write("CHAN_RECV", REQ_ID=1, CHAN_ID=empty, TIMEOUT_MS=-1)
    inside.stop()
    for req_id in (1, 2):
        answer = wire.read()
        assert (answer["REQ_ID"], answer["REASON"]) == (req_id, b"shutting down")
        if req_id == 1:
            wire.write("CHAN_RECV", REQ_ID=2, CHAN_ID=empty, TIMEOUT_MS=-1)
    assert deaf.read()["ELEMENT"] == [large]
    assert deaf.at_end()


def test_a_drain_sees_the_last_message_go_although_no_frame_was_for_python(
    inside: Inside, connect: Any
) -> None:
    wire = connect(inside)
    chan_id = wire.make("jobs", KIND=4)
    for element in (b"a", b"b"):
        assert wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[element])["RESULT"] == 0
    inside.stop(drain=True)
    for element in (b"a", b"b"):
        inside.settle()
        assert wire.ask("CHAN_RECV", CHAN_ID=chan_id)["ELEMENT"] == [element]
    assert wire.at_end()


def test_an_idle_daemon_does_not_turn_however_many_wait(inside: Inside, connect: Any) -> None:
    wires = [connect(inside) for _ in range(50)]
    for wire in wires:
        wire.make("jobs")
        wire.write("CHAN_RECV", REQ_ID=1, CHAN_ID=1001, TIMEOUT_MS=-1)
        wire.write("CHAN_OPEN", REQ_ID=2, NAME="never", TIMEOUT_MS=-1)
        assert wire.ask("PING")["RESULT"] == 0
    assert inside.rests()


def test_without_descriptors_the_loop_waits_instead_of_spinning(
    socket_dir: Path, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(self: socket.socket) -> Any:
        raise OSError(24, "Too many open files")

    with Inside(str(socket_dir / "k.sock"), io_thread=False).running() as inside:
        first = connect(inside)
        inside.settle()
        monkeypatch.setattr(transport.socket.socket, "accept", none_left)
        waiting = connect(inside, minor=None)
        assert inside.rests()
        assert first.ask("PING")["RESULT"] == 0
        monkeypatch.undo()
        first.close()
        assert waiting.hello()["ABI_MINOR"] == 1


@pytest.mark.parametrize("io_thread", [False, True])
def test_cancelling_an_embedded_daemon_ends_it(socket_dir: Path, io_thread: bool) -> None:
    async def main() -> None:
        listeners = [transport.listen(Address("stream", str(socket_dir / "k.sock")))]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve, listeners, io_thread=io_thread, signals=False))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert os.listdir(socket_dir) == []


def test_the_log_traces_control_frames_under_debug(start_daemon: Any, connect: Any) -> None:
    running = start_daemon("--debug")
    connect(running).ask("CHAN_MAKE", NAME="jobs")
    assert "frame conn=" in running.log
    assert "cmd=CHAN_MAKE req_id=5 minor=1 payload=001a0004" in running.log
    assert running.finish(signal.SIGINT) == 0
