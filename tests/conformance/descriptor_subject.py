"""The daemon again, with users whose payloads go by descriptor: the same cases, other bodies.

A user writes each message into shared memory of its own and sends the range; what it receives it
reads where it lies and gives back at once. Only the empty message goes as bytes: no range is empty.
"""

from collections.abc import Sequence
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.files import ANCILLARY_BYTES, RECEIVE_FLAGS, Loose, collect, rights
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.descriptors import Range, read_descriptor
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.regions.mappings import Mappings
from kcoro_ipc.regions.memory import create_memory
from tests.conformance.daemon_subject import READ_BYTES, DaemonSubject, DaemonUser
from tests.conformance.subject import FOREVER, Arm, Operation

STRIP_BYTES = 1 << 20


class DescriptorSubject(DaemonSubject):
    def user(self) -> "DescriptorUser":
        user = DescriptorUser(self)
        self._users.append(user)
        user.hello()
        return user

    def finish(self) -> None:
        super().finish()
        for user in self._users:
            assert isinstance(user, DescriptorUser)
            user.forget()


class Strip:
    """A region that is filled from its start, and again when nothing of it is in use."""

    def __init__(self, size: int) -> None:
        self.memory, self.file = create_memory(size)
        self.size, self.region_id, self.at, self.used = size, 0, 0, 0

    def has_room(self, count: int) -> bool:
        if self.used == 0:
            self.at = 0
        return self.at + count <= self.size

    def put(self, data: bytes) -> Range:
        found = (self.region_id, self.at, len(data))
        self.memory[self.at : self.at + len(data)] = data
        self.at += len(data)
        self.used += 1
        return found


class DescriptorUser(DaemonUser):
    def __init__(self, subject: DaemonSubject) -> None:
        super().__init__(subject)
        self._strips: dict[int, Strip] = {}
        self._strip: Strip | None = None
        self._mappings = Mappings(self.write)

    # --- ranges of its own ---

    def put(self, data: bytes) -> Range:
        self.collect()  # what was freed
        if self._strip is None or not self._strip.has_room(len(data)):
            self._strip = self._registered(Strip(max(STRIP_BYTES, len(data))))
        return self._strip.put(data)

    def _registered(self, strip: Strip) -> Strip:
        req_id = self.new_id()
        frame = requests.region_add(req_id, strip.size)
        assert self.socket.sendmsg([frame], rights(strip.file)) == len(frame)
        reply = self.answer(req_id)
        assert not reply.result, reply
        strip.region_id = reply.get(_wire.ATTR_REGION_ID)
        strip.file.close()
        self._strips[strip.region_id] = strip
        return strip

    def send(
        self,
        chan: int,
        data: bytes,
        timeout_ms: int = FOREVER,
        confirm: bool = False,
        ttl_ms: int = 0,
    ) -> Operation:
        if not data:
            return super().send(chan, data, timeout_ms, confirm, ttl_ms)
        self.use(chan)
        flags = _wire.FLAG_SEND_COMPLETE_ACK if confirm else 0
        return self._send_ranges(f"send {data[:16]!r}", chan, timeout_ms, [data], flags, ttl_ms)

    def send_many(
        self, chan: int, elements: Sequence[bytes], timeout_ms: int = FOREVER
    ) -> Operation:
        if not all(elements):
            return super().send_many(chan, elements, timeout_ms)
        self.use(chan)
        return self._send_ranges(f"send {len(elements)}", chan, timeout_ms, elements, 0)

    def _send_ranges(
        self,
        label: str,
        chan: int,
        timeout_ms: int,
        elements: Sequence[bytes],
        flags: int,
        ttl_ms: int = 0,
    ) -> Operation:
        ranges = [self.put(data) for data in elements]
        req_id = self.new_id()
        frame = requests.send_ranges(req_id, chan, timeout_ms, ranges, flags, ttl_ms)
        return self.begin(label, req_id, frame)

    def select(
        self, arms: Sequence[Arm], timeout_ms: int = FOREVER, biased: bool = False
    ) -> Operation:
        clauses = [self._clause(arm) for arm in arms]
        req_id = self.new_id()
        flags = _wire.FLAG_SELECT_BIASED if biased else 0
        frame = requests.select(req_id, timeout_ms, clauses, flags)
        return self.begin(f"select of {len(arms)}", req_id, frame)

    def _clause(self, arm: Arm) -> requests.Clause:
        chan, flags = self.use(arm.chan), _wire.FLAG_CLAUSE_ACK if arm.ack else 0
        if not arm.data:
            return requests.Clause(chan, arm.data, flags)
        return requests.Clause(chan, None, flags, sent=self.put(arm.data))

    # --- ranges of others ---

    def pass_time(self) -> None:
        data, ancillary, _, _ = self.socket.recvmsg(READ_BYTES, ANCILLARY_BYTES, RECEIVE_FLAGS)
        files = Loose()
        collect(ancillary, files)
        if not data:
            self.ended = True
        for reply in self._reader.feed(data, files):
            self._take(reply)
        assert self._reader.failure is None, self._reader.failure

    def _take(self, reply: Reply) -> None:
        if not reply.is_notice:
            super()._take(self._as_bytes(reply))
        elif reply.cmd == _wire.CMD_REGION_MAP:
            self._mappings.add(reply)
        elif reply.cmd == _wire.CMD_REGION_GONE:
            self._mappings.remove(reply.get(_wire.ATTR_REGION_ID))
        else:
            for value in reply.get(_wire.ATTR_DESC):
                self._strips[read_descriptor(value).region_id].used -= 1

    def _as_bytes(self, reply: Reply) -> Reply:
        ranges = reply.get(_wire.ATTR_DESC, ())
        items = [self._item(item) for item in reply.get(_wire.ATTR_ITEM, ())]
        if not ranges and not items:
            return reply
        elements = [self._read(value) for value in ranges] or reply.elements
        attributes = {**reply.attributes, _wire.ATTR_ITEM: items} if items else reply.attributes
        return Reply(reply.cmd, reply.req_id, reply.result, elements, attributes)

    def _item(self, item: dict[int, Any]) -> dict[int, Any]:
        if _wire.ATTR_DESC not in item:
            return item
        return {**item, _wire.ATTR_ELEMENT: self._read(item[_wire.ATTR_DESC])}

    def _read(self, value: bytes) -> bytes:
        found = read_descriptor(value)
        data = bytes(self._mappings.view(found))
        self.write(requests.release([found.last]))
        return data

    def forget(self) -> None:
        self._mappings = Mappings(self.write)
        for strip in self._strips.values():
            strip.memory.close()
