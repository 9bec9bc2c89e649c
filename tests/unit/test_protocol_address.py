"""Where a client looks for the daemon, and what it says when nobody is there."""

import errno
import os
import socket
from pathlib import Path

import pytest

from kcoro_ipc.errors import AccessDenied, InvalidArgument, NameTooLong, NoDaemon
from kcoro_ipc.protocol.address import Address, connect_error, find_address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/run/x.sock", Address("stream", "/run/x.sock")),
        ("stream:/run/x.sock", Address("stream", "/run/x.sock")),
        ("seqpacket:/run/x.sock", Address("seqpacket", "/run/x.sock")),
        ("stream", Address("stream", "stream")),
        ("odd:name.sock", Address("stream", "odd:name.sock")),
    ],
)
def test_an_address_has_a_transport_and_a_path(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


def test_the_transport_decides_the_type_of_socket() -> None:
    assert parse_address("/x").socket_type == socket.SOCK_STREAM
    assert parse_address("seqpacket:/x").socket_type == socket.SOCK_SEQPACKET


@pytest.mark.parametrize("text", ["", "stream:", "seqpacket:", "/a\0b"])
def test_an_address_without_a_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="names no socket"):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["tcp:/run/x.sock", "seqpaket:/run/x.sock", "unix:/x", "file:///x"]
)
def test_a_transport_that_there_is_not_is_no_part_of_a_path(text: str) -> None:
    with pytest.raises(InvalidArgument, match="a transport is stream or seqpacket"):
        parse_address(text)
    assert parse_address(f"./{text}").path == f"./{text}"


def test_a_path_that_no_socket_can_have_is_refused() -> None:
    assert parse_address("/" + "p" * 106).path == "/" + "p" * 106
    with pytest.raises(NameTooLong):
        parse_address("/" + "p" * 107)


def test_the_argument_comes_before_the_environment_and_that_before_habit(tmp_path: Path) -> None:
    user = tmp_path / "kcoro" / "kcoro.sock"
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "KCORO_SOCKET": "seqpacket:/env"}
    assert find_address("/arg", environ).path == "/arg"
    assert find_address(None, environ) == Address("seqpacket", "/env")
    del environ["KCORO_SOCKET"]
    assert find_address(None, environ).path == str(user)
    user.parent.mkdir()
    user.touch()
    assert find_address(None, environ).path == str(user)
    assert find_address(None, {}).path == "/run/kcoro/kcoro.sock"


@pytest.mark.parametrize(
    ("number", "error", "says"),
    [
        (errno.ENOENT, NoDaemon, "no daemon at /d.sock: start one with `kcoro serve`"),
        (errno.ECONNREFUSED, NoDaemon, "no daemon at /d.sock: start one with `kcoro serve`"),
        (errno.EACCES, AccessDenied, "may not be used by you"),
        (errno.EAGAIN, NoDaemon, "accepts no connection"),
        (errno.EPROTOTYPE, NoDaemon, "cannot be used: Protocol wrong type for socket"),
    ],
)
def test_a_failed_connect_says_what_to_do(number: int, error: type, says: str) -> None:
    found = connect_error(parse_address("/d.sock"), OSError(number, os.strerror(number)))
    assert type(found) is error
    assert says in str(found)
