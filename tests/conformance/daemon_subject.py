"""The daemon behind real sockets: one process for all cases, a connection for each user.

"All that was decided so far" is learnt by PING: C answers it in the order of the connection's
frames, after the results that were decided before. Nothing here sleeps; a wait is a recv(2).
"""

import itertools
import os
import socket

from kcoro_ipc import _wire
from kcoro_ipc.protocol import requests
from tests.conformance.wire_user import WireSubject, WireUser
from tests.e2e.harness import DaemonProcess

READ_BYTES = 1 << 20
STUCK_S = 60.0  # a daemon that says nothing for so long hangs; no assertion about speed


class DaemonSubject(WireSubject):
    def __init__(self, process: DaemonProcess, transport: str) -> None:
        super().__init__()
        self.label = f"daemon-{transport}"
        self.process = process
        self.transport = transport
        self._users: list[DaemonUser] = []
        self._watcher = self.user()

    def user(self) -> "DaemonUser":
        user = DaemonUser(self)
        self._users.append(user)
        user.hello()
        return user

    def all_users(self) -> "list[DaemonUser]":
        return list(self._users)

    def turns(self) -> None:
        """When this returns the daemon has served all that was done to its sockets before: a
        readable socket is served in the turn that sees it, and two PINGs are two turns."""
        for _ in range(2):
            self._watcher.collect()

    def check(self) -> None:
        """Everybody leaves; the daemon then has no channel of ours left."""
        for user in self._users:
            if user is not self._watcher:
                user.die()
        self.turns()
        reply = self._watcher.control(_wire.CMD_LIST)
        assert not reply.get(_wire.ATTR_ITEM, []), "channels are left over"
        assert self.process.alive()

    def finish(self) -> None:
        for user in self._users:
            user.socket.close()


class DaemonUser(WireUser):
    _numbers = itertools.count(1 << 24)  # ids of PINGs: far from those of operations

    def __init__(self, subject: DaemonSubject) -> None:
        super().__init__()
        self.subject = subject
        self.socket = subject.process.connect(subject.transport)
        self.socket.settimeout(STUCK_S)

    @property
    def identity(self) -> tuple[int, int]:
        return os.getuid(), os.getpid()

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def collect(self) -> None:
        """What was decided before this call has been heard when it returns."""
        if self.gone:
            return
        req_id = next(self._numbers)
        self.write(requests.control(_wire.CMD_PING, req_id))
        while req_id not in self._answers and not self.gone:
            self.pass_time()
        self._answers.pop(req_id, None)

    @property
    def gone(self) -> bool:
        return self.socket.fileno() < 0 or self.ended

    def pass_time(self) -> None:
        data = self.socket.recv(READ_BYTES)
        if not data:
            self.ended = True
        self.heard(data)

    def die(self) -> None:
        if self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.socket.close()
            self.subject.turns()
