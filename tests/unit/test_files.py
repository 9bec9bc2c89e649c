"""Open files in the client: each number has one owner, and is closed exactly once."""

import array
import os
import socket

import pytest

from kcoro_ipc.errors import ClosedResourceError, InvalidArgument
from kcoro_ipc.files import Loose, collect, duplicate, take


@pytest.fixture
def number() -> int:
    """An open file that the test has to get rid of."""
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def is_open(number: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{number}")


def test_a_file_is_closed_with_its_block_and_only_once(number: int) -> None:
    (file,) = take(Loose([number]))
    with file:
        assert file.fileno() == number
        assert repr(file) == f"<open file {number}>"
    assert not is_open(number)
    again = os.open("/dev/null", os.O_RDONLY)
    assert again == number  # the kernel gives the lowest free number
    file.close()
    assert is_open(again)
    os.close(again)
    assert (file.closed, repr(file)) == (True, "<closed file>")
    with pytest.raises(ClosedResourceError, match="closed"):
        file.fileno()


def test_a_detached_number_is_the_callers(number: int) -> None:
    (file,) = take(Loose([number]))
    assert file.detach() == number
    file.close()
    assert is_open(number)
    assert repr(file) == "<detached file>"
    with pytest.raises(ClosedResourceError, match="detached"):
        file.detach()
    os.close(number)


def test_a_file_that_is_dropped_open_warns_and_is_closed(number: int) -> None:
    (file,) = take(Loose([number]))
    with pytest.warns(ResourceWarning, match="was dropped open"):
        del file
    assert not is_open(number)


def test_numbers_that_nobody_took_are_closed(number: int) -> None:
    loose = Loose([number])
    del loose
    assert not is_open(number)


def test_take_leaves_nothing_behind(number: int) -> None:
    loose = Loose([number])
    files = take(loose)
    assert loose == []
    files[0].close()


def test_what_a_read_brought_is_collected_once_however_often_it_is_tried(number: int) -> None:
    data = array.array("i", [number]).tobytes()
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, data)]
    into = Loose()
    collect(ancillary, into)
    collect(ancillary, into)
    assert into == [number]


def test_other_ancillary_data_and_half_a_number_are_no_files() -> None:
    into = Loose()
    collect([(socket.SOL_SOCKET, 99, b"\1\0\0\0")], into)
    collect([(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\1\0")], into)
    assert into == []


def test_an_interrupted_collection_can_go_on(number: int) -> None:
    """What an interrupt leaves between the two steps is a list of numbers."""
    into = Loose()
    collect([number], into)
    assert into == [number]


def test_files_to_send_are_our_own_copies(number: int) -> None:
    own = duplicate([number])
    os.close(number)
    assert own[0] != number
    assert is_open(own[0])


def test_a_closed_number_is_refused_and_the_others_are_not_leaked(number: int) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(InvalidArgument, match="cannot be sent: Bad file descriptor"):
        duplicate([number, 10_000])
    assert os.listdir("/proc/self/fd") == before
    os.close(number)


def test_seventeen_files_are_too_many(number: int) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(InvalidArgument, match="at most 16 files"):
        duplicate([number] * 17)
    assert os.listdir("/proc/self/fd") == before
    os.close(number)
