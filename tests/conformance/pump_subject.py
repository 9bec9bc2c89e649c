"""The pump fed by arrays: the daemon with every part but sockets, trio and the real clock.

Connections are made without a descriptor (fd -1), bytes go in by `kc_conn_feed` and come out by
`kc_conn_fetch`; control frames are answered by the daemon's own code between two rounds. Time is
the engine's and moves only when a case lets it pass.
"""

import itertools

from kcoro_ipc.broker import Broker
from kcoro_ipc.daemon import Daemon
from kcoro_ipc.pump import STREAM
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import Peer
from kcoro_ipc.reports import Report
from kcoro_ipc.structs import NEVER, ffi, lib
from tests.conformance.wire_user import WireSubject, WireUser

ALL = Report(flags=0, frames=0, control=1, accept=0, closed=1, cancelled=1, polls=0, events=1)
SMALL = {"connections": 256, "channels": 256, "tokens": 8192, "messages": 16384, "accounts": 16}
UID, GID, PID = 4711, 4711, 815
START_NS = 1_000_000_000
FETCH_BYTES = 1 << 20


class PumpSubject(WireSubject):
    label = "pump"

    def __init__(self, **limits: int) -> None:
        super().__init__()
        self.daemon = Daemon([], Limits(**SMALL | limits), drain_s=0)
        self.broker: Broker = self.daemon.broker
        self.engine, self.pump = self.daemon.engine, self.daemon.pump
        self.engine.tick(START_NS)
        self.broker.clock = self.engine.now
        self._users: list[PumpUser] = []
        self.pids = itertools.count(PID)

    def user(self, uid: int = UID) -> "PumpUser":
        user = PumpUser(self, uid)
        self._users.append(user)
        user.hello()
        return user

    def raw_user(self, uid: int = UID) -> "PumpUser":
        """A connection that has not said HELLO."""
        user = PumpUser(self, uid)
        self._users.append(user)
        return user

    def run(self) -> None:
        """Rounds until nothing is left to do, control frames included."""
        while True:
            more = lib.kc_pump_run(self.pump.handle)
            assert more >= 0, f"kc_pump_run: {more}"
            before = self.pump_frames()
            self.daemon.handle(ALL)
            if not more and self.pump_frames() == before and not self._control_waits():
                break
        breach = self.engine.check()
        assert not breach, breach

    def _control_waits(self) -> bool:
        """Answering a control frame lifts a barrier: the frames behind it want another round."""
        return lib.kc_pump_run(self.pump.handle) > 0

    def pump_frames(self) -> int:
        infos = (self.pump.info(user.conn) for user in self._users)
        return sum(info.frames_in for info in infos if info is not None)

    def check(self) -> None:
        for user in self._users:
            user.die()
        self.run()
        usage = self.engine.usage()
        left = {name: usage[name] for name in ("channels", "tokens", "messages", "block_bytes")}
        assert not any(left.values()), f"left over: {left}"
        assert not self.broker.registry.peers
        assert not self.broker.registry.channels

    def finish(self) -> None:
        self.daemon.free()


class PumpUser(WireUser):
    identity = 0, 0  # of each its own

    def __init__(self, subject: PumpSubject, uid: int) -> None:
        super().__init__()
        self.subject = subject
        self.pump = subject.pump
        user = subject.broker.user(uid)
        self.identity = uid, next(subject.pids)
        self.conn = self.pump.add(-1, STREAM, user.account, self.identity[1])
        subject.broker.join(Peer(self.conn, user, GID, frozenset({GID}), self.identity[1], STREAM))
        self._buffer = ffi.new("uint8_t[]", FETCH_BYTES)

    def feed(self, data: bytes, eof: bool = False) -> int:
        return int(lib.kc_conn_feed(self.pump.handle, self.conn, data, len(data), int(eof)))

    def write(self, data: bytes) -> None:
        code = self.feed(data)
        assert code >= 0, f"kc_conn_feed: {code}"
        self.subject.run()

    def collect(self) -> None:
        self.subject.run()
        while data := self.fetch():
            self.heard(data)
            self.subject.run()

    def fetch(self, most: int = FETCH_BYTES) -> bytes:
        count = lib.kc_conn_fetch(self.pump.handle, self.conn, self._buffer, most)
        return bytes(ffi.buffer(self._buffer, count)) if count > 0 else b""

    def pass_time(self) -> None:
        deadline = self.subject.engine.next_deadline()
        python = self.subject.broker.next_deadline_ns()
        times = [when for when in (deadline, python) if when is not None and when != NEVER]
        assert times, "nothing that waits has a deadline"
        self.subject.engine.tick(min(times))
        self.collect()

    def hello(self) -> None:
        self.pass_time = self.collect  # type: ignore[method-assign]  # HELLO needs no time
        super().hello()
        del self.pass_time

    def die(self) -> None:
        """What it has not fetched is lost with it."""
        lib.kc_conn_vanish(self.pump.handle, self.conn)
        self.subject.run()
