"""A peer that shares memory and passes open files, with frames by hand, as hostile as it likes.

Notices (REGION_MAP, REGION_FREED, REGION_GONE) are kept apart from answers: `maps`, `freed`,
`gone`. What it received and nobody took is closed with it.
"""

import fcntl
import os
import socket
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any

from kcoro_ipc import _wire, tlv
from kcoro_ipc.files import ANCILLARY_BYTES, RECEIVE_FLAGS, Loose, collect, move, rights
from kcoro_ipc.regions.memory import SEALS
from tests.fault.house import House
from tests.fault.peer import Pair, Peer, named

CAPS = _wire.CAP_DESCRIPTORS | _wire.CAP_FILES
SENT, RECEIVED = Struct(">QQQ"), Struct(">QQQQ")


class Sharer(Peer):
    def __init__(self, connected: socket.socket, minor: int = 1) -> None:
        super().__init__(connected, minor)
        self.maps: dict[int, tuple[int, int]] = {}  # of regions: the file's number and the size
        self.freed: list[tuple[int, ...]] = []
        self.gone: list[int] = []
        self._came = Loose()  # ahead of the frames that name them
        self._owned = Loose()

    def hello(self, **attributes: Any) -> Any:
        return super().hello(**{"CAPS": CAPS} | attributes)

    def own(self, number: int) -> int:
        """Closed with this peer."""
        self._owned.append(number)
        return number

    # --- saying ---

    def say_files(self, data: bytes, files: Sequence[int]) -> None:
        """In one sendmsg(2)."""
        assert self.socket.sendmsg([data], rights(files)) == len(data)

    def write_files(
        self,
        command: str,
        files: Sequence[int],
        *pairs: Pair,
        count: int | None = None,
        **more: Any,
    ) -> None:
        """A frame whose header names `count` files, with these."""
        named_files = len(files) if count is None else count
        self.say_files(self.frame_files(command, named_files, *pairs, **more), files)

    def frame_files(self, command: str, count: int, *pairs: Pair, **attributes: Any) -> bytes:
        return tlv.build_frame(command, [*attributes.items(), *pairs], self.minor, count)

    def ask_files(self, command: str, files: Sequence[int], *pairs: Pair, **more: Any) -> Any:
        self.write_files(command, files, *pairs, **{"REQ_ID": 5} | more)
        answer = self.read()
        assert answer is not None, f"the daemon ended the connection instead of answering {command}"
        assert answer.get("REQ_ID") == 5, answer
        return answer

    def region(self, file: int, size: int) -> int:
        """Registers it; its number."""
        answer = self.ask_files("REGION_ADD", [file], SIZE=size)
        assert answer["RESULT"] == 0, answer
        return int(answer["REGION_ID"])

    @staticmethod
    def range_value(region: int, offset: int, length: int) -> bytes:
        """The value of a DESC."""
        return SENT.pack(region, offset, length)

    def send_range(self, chan: int, region: int, offset: int, length: int) -> Any:
        return self.ask("CHAN_SEND", CHAN_ID=chan, DESC=SENT.pack(region, offset, length))

    def connected_again(self) -> socket.socket:
        """Another connection to where this one goes."""
        made = socket.socket(socket.AF_UNIX, self.socket.type)
        made.connect(self.socket.getpeername())
        return made

    def receive(self, chan: int, **attributes: Any) -> Any:
        answer = self.ask("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=-1, **attributes)
        assert answer["RESULT"] == 0, answer
        return answer

    def receive_range(self, chan: int, **attributes: Any) -> tuple[int, ...]:
        """REGION_ID, offset, length, LEASE_ID."""
        return self.range_of(self.receive(chan, **attributes))

    @staticmethod
    def range_of(answer: Any) -> tuple[int, ...]:
        item = answer["ITEM"][0] if "ITEM" in answer else answer
        value = item["DESC"]
        return RECEIVED.unpack(value[0] if isinstance(value, list) else value)

    def usage(self) -> dict[str, int]:
        items = self.ask("GET_INFO")["ITEM"]
        return {item["NAME"].decode(): item["VALUE"] for item in items}

    # --- hearing ---

    def _receive(self) -> bytes:
        data, ancillary, _, _ = self.socket.recvmsg(1 << 20, ANCILLARY_BYTES, RECEIVE_FLAGS)
        collect(ancillary, self._came)
        return data

    def read(self) -> dict[str, Any] | None:
        """As a Peer's; `files` are the numbers that came with it."""
        while True:
            frame = self.read_frame()
            if frame is None:
                return None
            assert frame.files <= len(self._came), "a frame names files that did not come"
            files = list(self._came[: frame.files])
            move(self._came, self._owned, frame.files)
            found = named(frame.attributes)
            name = tlv.COMMAND_NAMES.get(frame.cmd, frame.cmd)
            if not self._is_notice(name, found, files):
                assert not self._came, "files came that no frame names"
                return {"cmd": name, "files": files} | found

    def _is_notice(self, name: Any, found: dict[str, Any], files: list[int]) -> bool:
        if name == "REGION_MAP":
            self.maps[found["REGION_ID"]] = (files[0], found["SIZE"])
        elif name == "REGION_FREED":
            self.freed += [RECEIVED.unpack(one) for one in found["DESC"]]
        elif name == "REGION_GONE":
            self.gone.append(found["REGION_ID"])
        else:
            return False
        return True

    def close_files(self) -> None:
        """Those it received or owns."""
        self._owned.close()

    def close(self) -> None:
        self.close_files()
        self._came.close()
        self.socket.close()

    def __exit__(self, *how: object) -> None:
        self.close()


def sharer(house: House, transport: str = "stream") -> Sharer:
    made = Sharer(house.process.connect(transport))
    made.hello()
    return made


def memfd(size: int, *, seals: int = SEALS, allocate: bool = True, flags: int = 0) -> int:
    """Shared memory, by default fit to be a region."""
    number = os.memfd_create("attack", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
    os.ftruncate(number, size)
    if allocate:
        os.posix_fallocate(number, 0, size)
    fcntl.fcntl(number, fcntl.F_ADD_SEALS, seals)
    return number


def close_all(numbers: Iterable[int]) -> None:
    for number in numbers:
        os.close(number)


def files_settle(house: House, peer: "Sharer", most: int) -> None:
    """Files are paid for until a thread of the daemon has closed them; that is awaited."""
    for _ in range(2_000):
        if peer.usage()["files"] <= most:
            return
        house.turns()
    raise AssertionError(f"{peer.usage()['files']} files are paid for, not {most}")


def descriptors_settle(house: House, most: int) -> None:
    """The daemon closes in threads; that it does so is awaited, not timed."""
    for _ in range(2_000):
        if house.process.descriptors() <= most:
            return
        house.turns()
    raise AssertionError(f"{house.process.descriptors()} descriptors in the daemon, not {most}")
