"""The C client against a real daemon: its examples, and a program that checks itself (c_client.c),
each built with what the installation names."""

import ctypes
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc.building import SHARED, compile_words, get_library_dir, link_words
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.protocol.address import find_address

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "c"
PATIENCE_S = 60.0  # bounds a program that hangs; nothing is judged by time


def build(source: Path, program: Path) -> Path:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler: install gcc or clang, or name one in CC")
    words = [compiler, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread"]
    words += [*compile_words(), str(source), *link_words(), "-o", str(program)]
    subprocess.run(words, check=True)
    return program


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    for source in (*EXAMPLES.glob("*.c"), Path(__file__).with_name("c_client.c")):
        build(source, folder / source.stem)
    return folder


def run(program: Path, running: Any, *words: str, transport: str = "stream") -> str:
    address = f"{transport}:{running.address(transport)}"
    done = subprocess.run(
        [str(program), *words],
        env=os.environ | {"KCORO_SOCKET": address},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


# --- examples ---


def test_echo_sends_back_what_it_was_sent(start_daemon: Any, programs: Path) -> None:
    running = start_daemon()
    environment = os.environ | {"KCORO_SOCKET": running.path}
    with subprocess.Popen([str(programs / "echo"), "serve", "3"], env=environment) as server:
        assert run(programs / "echo", running, "hello", "", "world") == "hello\n\nworld\n"
        assert server.wait(PATIENCE_S) == 0


def test_echo_says_in_one_line_that_there_is_no_daemon(programs: Path, tmp_path: Path) -> None:
    environment = os.environ | {"KCORO_SOCKET": f"{tmp_path}/none.sock"}
    done = subprocess.run(
        [str(programs / "echo"), "x"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("echo: no daemon: the connection to the daemon is gone")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("count", [0, 1, 100])
def test_three_processes_share_channels(start_daemon: Any, programs: Path, count: int) -> None:
    total = sum(number * number for number in range(count))
    printed = run(programs / "distributed_channels", start_daemon(), str(count))
    assert printed == f"{count} jobs, {count} results, sum {total}\n"


# --- the client ---


@pytest.mark.parametrize("io", ["trio", "thread"])
@pytest.mark.parametrize("transport", ["stream", "seqpacket"])
def test_a_c_program_finds_what_the_header_promises(
    start_daemon: Any, programs: Path, transport: str, io: str
) -> None:
    """c_client.c prints the first thing that is not so; at the end of all its tests, "done"."""
    running = start_daemon("--io", io)
    assert run(programs / "c_client", running, transport=transport).endswith("done\n")


def test_a_daemon_that_is_killed_leaves_in_doubt_what_had_left(
    start_daemon: Any, programs: Path
) -> None:
    running = start_daemon()
    environment = os.environ | {"KCORO_SOCKET": running.path}
    with subprocess.Popen(
        [str(programs / "c_client"), "lose"],
        env=environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waiting\n"
        running.finish(signal.SIGKILL)
        out, _ = program.communicate(timeout=PATIENCE_S)
    assert (program.returncode, out) == (0, "-104 1\n-104 0\n")


def test_the_daemon_has_nothing_left_of_a_c_program_that_ended(
    start_daemon: Any, programs: Path, connect: Any
) -> None:
    running = start_daemon()
    files = f"/proc/{running.process.pid}/fd"
    wire = connect(running)
    before = len(os.listdir(files))
    run(programs / "c_client", running)
    run(programs / "distributed_channels", running, "5")
    wire.ask("PING")
    wire.ask("PING")
    assert len(os.listdir(files)) == before
    assert wire.ask("LIST").get("ITEM", []) == []


def test_a_python_and_a_c_program_talk(start_daemon: Any, programs: Path) -> None:
    """The bytes of one are those of the other, also by shared memory and with files."""
    from kcoro_ipc import blocking

    running = start_daemon()
    with blocking.open_client(running.path) as client:
        to_c = client.make_channel("to C", kind="buffered", capacity=4)
        from_c = client.make_channel("from C", kind="buffered", capacity=4)
        large = bytes(range(256)) * 4000
        to_c.send(b"small")
        to_c.send(large)
        with Path(os.devnull).open("rb") as file:
            to_c.send(b"file", files=[file])
        assert run(programs / "c_client", running, "relay", "3") == "5 0\n1024000 0\n4 1\n"
        assert from_c.receive() == b"small"
        assert from_c.receive() == large
        data, (file,) = from_c.receive_message()
        with file:
            assert data == b"file"
            assert os.readlink(f"/proc/self/fd/{file.fileno()}") == os.devnull


# --- where the daemon is ---


def found_by_c(address: str | None) -> object:
    library = ctypes.CDLL(f"{get_library_dir()}/{SHARED}")
    path, seqpacket = ctypes.create_string_buffer(128), ctypes.c_int(-1)
    given = None if address is None else address.encode()
    code = library.kc_ipc_address(given, path, ctypes.byref(seqpacket))
    return code or ("seqpacket" if seqpacket.value else "stream", path.value.decode())


def found_by_python(address: str | None) -> object:
    try:
        return tuple(find_address(address, os.environ))
    except KcoroError as error:
        return error.code


@pytest.mark.parametrize("named", ["argument", "environment"])
@pytest.mark.parametrize(
    "address",
    [
        *("a/b.sock", "/x", "stream:/x", "seqpacket:/x", "stream:x", "seqpacket:x", "a:b", "a1:/x"),
        *("unix:/x", "Stream:/x", "stream:", "seqpacket:", ":/x", ":", "stream:unix:/x", ""),
        *("/" + "x" * 106, "/" + "x" * 107, "seqpacket:/" + "x" * 106, "seqpacket:/" + "x" * 107),
    ],
)
def test_an_address_means_the_same_in_c(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, named: str
) -> None:
    monkeypatch.delenv("KCORO_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if named == "environment":
        monkeypatch.setenv("KCORO_SOCKET", address)
    given = address if named == "argument" else None
    assert found_by_c(given) == found_by_python(given)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("directory", ["runtime", "", None])
def test_without_an_address_the_same_place_is_found(
    monkeypatch: pytest.MonkeyPatch, socket_dir: Path, directory: str | None, there: bool
) -> None:
    monkeypatch.delenv("KCORO_SOCKET", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if directory is not None:
        runtime = socket_dir / directory if directory else ""
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    if directory and there:
        (socket_dir / directory / "kcoro").mkdir(parents=True)
        (socket_dir / directory / "kcoro" / "kcoro.sock").touch()
    assert found_by_c(None) == found_by_python(None)
