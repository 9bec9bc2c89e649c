"""A daemon under attack, and a bystander whose data must stay whole.

The bystander has a parked receiver, a message that waits and one that is held; after the attack all
three are as they were, the daemon serves as before, and descriptors and memory are back.
"""

import time

from tests.conformance.daemon_subject import DaemonSubject, DaemonUser
from tests.conformance.subject import Operation
from tests.e2e.harness import DaemonProcess
from tests.fault.peer import Peer

# What the allocators of Python, C and the engine may keep after an attack, of RssAnon.
KEPT_BYTES = 24 << 20
SETTLE_TURNS = 2_000
SETTLE_PAUSES, PAUSE_S = 100, 0.1


class House:
    def __init__(self, process: DaemonProcess) -> None:
        self.process = process
        self.subject = DaemonSubject(process, "stream")
        self.bystander: DaemonUser = self.subject.user()
        self.waiting = self.subject.channel("rendezvous")
        self.filled = self.subject.channel("buffered", 4)
        self.parked: Operation = self.bystander.receive(self.waiting)
        assert self.parked.waiting
        self.bystander.send(self.filled, b"held by the bystander").ok()
        self.bystander.send(self.filled, b"waits for the bystander").ok()
        self.held = self.bystander.receive(self.filled, ack=True).ok()
        self.residents = len(self.subject.all_users())
        self.descriptors = process.descriptors()
        self.resident_bytes = process.resident_bytes()

    # --- for attacks ---

    def peer(self, transport: str = "stream", minor: int = 1, greet: bool = True) -> Peer:
        peer = Peer(self.process.connect(transport), minor)
        if greet:
            peer.hello()
        return peer

    def turns(self) -> None:
        """All that was done to the daemon's sockets before has been served."""
        self.subject.turns()

    # --- afterwards ---

    def check(self) -> None:
        assert self.process.alive()
        for user in self.subject.all_users()[self.residents :]:
            user.die()
        self._check_bystander()
        self._check_descriptors()
        self._check_memory()
        self.subject.check()

    def _check_bystander(self) -> None:
        other = self.subject.user()
        assert self.parked.waiting
        other.send(self.waiting, b"to the bystander").ok()
        assert self.parked.data == b"to the bystander"
        assert self.bystander.ack(self.held.delivery) == 0
        assert other.receive(self.filled).data == b"waits for the bystander"
        now = other.statistics(self.filled)
        assert (now["total_sends"], now["total_recvs"], now["depth"]) == (2, 2, 0)
        other.die()

    def _check_descriptors(self) -> None:
        for _ in range(SETTLE_TURNS):
            if self.process.descriptors() <= self.descriptors:
                return
            self.turns()
        raise AssertionError(f"{self.process.descriptors()} descriptors, not {self.descriptors}")

    def _check_memory(self) -> None:
        """What a crowd needed the daemon gives back a second after it has gone, not before."""
        for _ in range(SETTLE_PAUSES):
            grown = self.process.resident_bytes() - self.resident_bytes
            if grown <= KEPT_BYTES:
                return
            self.turns()
            time.sleep(PAUSE_S)
        raise AssertionError(f"{grown} bytes more than before")

    def finish(self) -> None:
        self.subject.finish()
