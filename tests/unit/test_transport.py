"""Listening sockets: stale ones replaced, live and foreign ones refused, ours removed."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kcoro_ipc import transport
from kcoro_ipc.protocol.address import Address, parse_address
from kcoro_ipc.pump import SEQPACKET, STREAM
from kcoro_ipc.transport import TransportError

TRANSPORTS = pytest.mark.parametrize("kind", ["stream", "seqpacket"])


def at(directory: Path, kind: str = "stream") -> Address:
    return Address(kind, str(directory / "k.sock"))


def connects(address: Address) -> bool:
    with socket.socket(socket.AF_UNIX, address.socket_type) as client:
        return client.connect_ex(address.path) == 0


# --- addresses ---


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"KCORO_SOCKET": "/a/b"}, ["stream:/a/b"]),
        ({"KCORO_SOCKET": "stream:/a/b"}, ["stream:/a/b"]),
        ({"KCORO_SOCKET": "seqpacket:/a/b", "XDG_RUNTIME_DIR": "/r"}, ["seqpacket:/a/b"]),
        (
            {"XDG_RUNTIME_DIR": "/r"},
            ["stream:/r/kcoro/kcoro.sock", "seqpacket:/r/kcoro/kcoro-seq.sock"],
        ),
    ],
)
def test_the_environment_says_where_a_users_daemon_listens(
    environ: dict[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = [f"{a.transport}:{a.path}" for a in transport.default_addresses(environ)]
    assert found == expected


def test_roots_daemon_listens_in_the_systems_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = [address.path for address in transport.default_addresses({"XDG_RUNTIME_DIR": "/r"})]
    assert found == ["/run/kcoro/kcoro.sock", "/run/kcoro/kcoro-seq.sock"]


def test_without_a_runtime_directory_the_error_names_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(TransportError, match="--listen"):
        transport.default_addresses({})


# --- binding ---


@TRANSPORTS
def test_a_listener_accepts_and_leaves_nothing_behind(socket_dir: Path, kind: str) -> None:
    address = at(socket_dir, kind)
    listener = transport.listen(address)
    assert connects(address)
    assert listener.transport == {"stream": STREAM, "seqpacket": SEQPACKET}[kind]
    assert stat.S_IMODE(os.stat(address.path).st_mode) == 0o600
    listener.close()
    assert os.listdir(socket_dir) == []


def test_the_mode_of_the_socket_is_as_asked_whatever_the_umask(socket_dir: Path) -> None:
    before = os.umask(0o077)
    try:
        listener = transport.listen(at(socket_dir), mode=0o666)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(at(socket_dir).path).st_mode) == 0o666
    listener.close()


def test_missing_directories_are_made_for_their_user_alone(socket_dir: Path) -> None:
    listener = transport.listen(Address("stream", str(socket_dir / "run" / "kcoro" / "k.sock")))
    assert stat.S_IMODE(os.stat(socket_dir / "run" / "kcoro").st_mode) == 0o700
    listener.close()


@TRANSPORTS
def test_a_stale_socket_is_replaced(socket_dir: Path, kind: str) -> None:
    address = at(socket_dir, kind)
    dead = socket.socket(socket.AF_UNIX, address.socket_type)
    dead.bind(address.path)
    dead.close()
    listener = transport.listen(address)
    assert connects(address)
    listener.close()


@TRANSPORTS
def test_a_live_server_without_our_lock_is_left_alone(socket_dir: Path, kind: str) -> None:
    address = at(socket_dir, kind)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(address.path)
        other.listen(1)
        with pytest.raises(TransportError, match="already listening"):
            transport.listen(address)
        assert connects(Address("stream", address.path))
    assert os.listdir(socket_dir) == ["k.sock"]


def test_the_second_of_two_on_one_path_is_refused_and_the_first_lives(socket_dir: Path) -> None:
    first = transport.listen(at(socket_dir))
    with pytest.raises(TransportError, match="already listening"):
        transport.listen(at(socket_dir))
    assert connects(at(socket_dir))
    first.close()
    transport.listen(at(socket_dir)).close()


@pytest.mark.e2e
def test_of_several_started_at_the_same_instant_exactly_one_wins(socket_dir: Path) -> None:
    program = (
        "import sys; from kcoro_ipc import transport\n"
        "from kcoro_ipc.protocol.address import Address\n"
        "sys.stdin.readline()\n"
        "try: listener = transport.listen(Address('stream', sys.argv[1]))\n"
        "except transport.TransportError: print('refused', flush=True)\n"
        "else: print('won', flush=True); sys.stdin.readline(); listener.close()\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, at(socket_dir).path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() for racer in racers if racer.stdout]
    for racer in racers:
        racer.communicate("end\n")
    assert sorted(said) == ["refused"] * 5 + ["won"]
    assert os.listdir(socket_dir) == []


def test_of_several_addresses_all_or_none_are_bound(socket_dir: Path) -> None:
    addresses = [Address("stream", str(socket_dir / name)) for name in ("a", "b")]
    (socket_dir / "b").touch()
    with pytest.raises(TransportError, match="no socket"):
        transport.listen_all(addresses)
    assert os.listdir(socket_dir) == ["b"]


def test_a_symlink_is_refused_and_left(socket_dir: Path) -> None:
    target = socket_dir / "elsewhere"
    target.touch()
    os.symlink(target, at(socket_dir).path)
    with pytest.raises(TransportError, match="symbolic link"):
        transport.listen(at(socket_dir))
    assert target.exists()
    assert os.path.islink(at(socket_dir).path)


def test_a_symlink_in_place_of_the_lock_is_refused(socket_dir: Path) -> None:
    (socket_dir / "victim").touch()
    os.symlink(socket_dir / "victim", f"{at(socket_dir).path}.lock")
    with pytest.raises(TransportError, match="cannot listen"):
        transport.listen(at(socket_dir))


def test_a_socket_of_another_user_is_refused(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(at(socket_dir).path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(TransportError, match="belongs to another user"):
        transport.listen(at(socket_dir))
    assert os.path.exists(at(socket_dir).path)


@pytest.mark.parametrize("mode", [0o777, 0o702])
def test_our_own_directory_must_not_be_open_to_others(socket_dir: Path, mode: int) -> None:
    directory = socket_dir / "kcoro"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(TransportError, match="others could replace"):
        transport.listen(at(directory))


def test_our_own_directory_must_not_be_a_symlink(socket_dir: Path) -> None:
    (socket_dir / "real").mkdir()
    os.symlink(socket_dir / "real", socket_dir / "kcoro")
    with pytest.raises(TransportError, match="symbolic link"):
        transport.listen(at(socket_dir / "kcoro"))


def test_an_abstract_name_and_an_unusable_directory_are_refused(socket_dir: Path) -> None:
    with pytest.raises(TransportError, match="abstract"):
        transport.listen(parse_address("@kcoro"))
    (socket_dir / "file").touch()
    with pytest.raises(TransportError, match="cannot listen"):
        transport.listen(at(socket_dir / "file"))


def test_a_path_that_somebody_else_took_over_is_not_unlinked_at_the_end(socket_dir: Path) -> None:
    listener = transport.listen(at(socket_dir))
    os.unlink(at(socket_dir).path)
    (socket_dir / "k.sock").touch()
    listener.close()
    assert os.listdir(socket_dir) == ["k.sock"]


# --- peers ---


@TRANSPORTS
def test_credentials_are_those_of_who_connected(socket_dir: Path, kind: str) -> None:
    listener = transport.listen(at(socket_dir, kind))
    with socket.socket(socket.AF_UNIX, at(socket_dir, kind).socket_type) as client:
        client.connect(at(socket_dir, kind).path)
        accepted, _ = listener.socket.accept()
        with accepted:
            found = transport.credentials(accepted)
    listener.close()
    assert (found.pid, found.uid, found.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert found.groups == {os.getgid(), *os.getgroups()}
