"""The daemon once more, its users C programs: each is a process of client_driver.c, which is asked
line by line and speaks to the daemon by the C client, with bytes or with loans of shared memory.

Who dies is killed. Channels are made, and turns counted, by users of daemon_subject.
"""

import itertools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kcoro_ipc import _wire
from tests.conformance.daemon_subject import DaemonSubject, DaemonUser
from tests.conformance.subject import FOREVER, Arm, Operation, Outcome, User
from tests.e2e.harness import DaemonProcess

ACK, SENDER, CONFIRM, BIASED = 1, 2, 4, 8  # enum kc_ipc_wish_flag
NOBODY = (1 << 32) - 1  # KC_NOBODY


class CClientSubject(DaemonSubject):
    def __init__(
        self, process: DaemonProcess, transport: str, driver: Path, loans: bool = False
    ) -> None:
        self._drivers: list[CUser] = []
        self._driver = [str(driver), *(["loans"] if loans else [])]
        self._plain = True
        super().__init__(process, transport)
        self._maker = self.user()  # an ordinary one: what follows are C programs
        self._plain = False
        self.label = f"c-client-{'descriptors-' if loans else ''}{transport}"

    def user(self) -> Any:
        if self._plain:
            return super().user()
        user = CUser(self, self._driver)
        self._drivers.append(user)
        return user

    def check(self) -> None:
        for driver in self._drivers:
            driver.die()
        super().check()

    def finish(self) -> None:
        for driver in self._drivers:
            driver.end()
        super().finish()

    def all_users(self) -> list[DaemonUser]:
        return list(self._users)


class CUser(User):
    _numbers = itertools.count(1)

    def __init__(self, subject: CClientSubject, driver: Sequence[str]) -> None:
        self.subject = subject
        address = subject.process.address(subject.transport)
        self._process = subprocess.Popen(
            driver,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"KCORO_SOCKET": address},
            text=True,
            bufsize=1,
        )
        self._under_way: dict[int, Operation] = {}

    # --- the driver ---

    def _say(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the driver has ended"
        return line.strip()

    def _ask(self, *words: object) -> list[int]:
        self._say(*words)
        mark, *numbers = self._line().split()
        assert mark == "="
        return [int(number) for number in numbers]

    def _begin(self, label: str, command: str, *words: object) -> Operation:
        operation = Operation(self, label)
        operation.key = next(self._numbers)
        (code, *_) = self._ask(command, operation.key, *words)
        if code:
            operation.end(Outcome(code=code))
        else:
            self._under_way[operation.key] = operation
        self.collect()
        return operation

    def _hear(self) -> None:
        while (line := self._line()) != ".":
            _, number, *rest = line.split()
            self._under_way.pop(int(number)).end(outcome_of(rest))

    def collect(self) -> None:
        if self._process.poll() is None:
            self._say("collect")
            self._hear()

    def pass_time(self) -> None:
        self._say("wait")
        self._hear()

    def die(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            self.subject.turns()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    # --- operations ---

    @property
    def identity(self) -> tuple[int, int]:
        return os.getuid(), self._process.pid

    def send(
        self,
        chan: int,
        data: bytes,
        timeout_ms: int = FOREVER,
        confirm: bool = False,
        ttl_ms: int = 0,
    ) -> Operation:
        words = chan, timeout_ms, CONFIRM if confirm else 0, ttl_ms, 1, hexed(data)
        return self._begin(f"send {data[:16]!r}", "send", *words)

    def send_many(
        self, chan: int, elements: Sequence[bytes], timeout_ms: int = FOREVER
    ) -> Operation:
        parts = map(hexed, elements)
        label = f"send {len(elements)}"
        return self._begin(label, "send", chan, timeout_ms, 0, 0, len(elements), *parts)

    def receive(
        self, chan: int, timeout_ms: int = FOREVER, ack: bool = False, sender: bool = False
    ) -> Operation:
        return self._receive(chan, 1, timeout_ms, ack, sender)

    def receive_many(
        self, chan: int, most: int, timeout_ms: int = FOREVER, ack: bool = False
    ) -> Operation:
        return self._receive(chan, most, timeout_ms, ack)

    def _receive(
        self, chan: int, most: int, timeout_ms: int, ack: bool, sender: bool = False
    ) -> Operation:
        flags = (ACK if ack else 0) | (SENDER if sender else 0)
        return self._begin("receive", "recv", chan, timeout_ms, flags, most)

    def select(
        self, arms: Sequence[Arm], timeout_ms: int = FOREVER, biased: bool = False
    ) -> Operation:
        words: list[object] = []
        for arm in arms:
            sends = arm.data is not None
            words += [arm.chan, "s" if sends else "r"]
            words += [hexed(arm.data) if arm.data is not None else ACK if arm.ack else 0]
        flags = BIASED if biased else 0
        label = f"select of {len(arms)}"
        return self._begin(label, "select", timeout_ms, flags, len(arms), *words)

    def cancel(self, operation: Operation) -> None:
        self._ask("cancel", operation.key)
        self.collect()

    def ack(self, delivery: int) -> int:
        return self._ask("ack", delivery)[0]

    def nack(self, delivery: int) -> int:
        return self._ask("nack", delivery)[0]

    # --- the channel itself ---

    def use(self, chan: int) -> int:
        self._ask("open", chan)
        return chan

    def close(self, chan: int) -> int:
        return self._ask("close", chan)[0]

    def destroy(self, chan: int, reason: str = "") -> int:
        return self._ask("destroy", chan, hexed(reason.encode()))[0]

    def purge(self, chan: int) -> int:
        code, count = self._ask("purge", chan)
        assert not code
        return count

    def statistics(self, chan: int) -> dict[str, int]:
        code, *numbers = self._ask("stats", chan)
        assert not code
        return dict(zip(_wire.STAT_NAMES, numbers, strict=True))


def hexed(data: bytes) -> str:
    return data.hex() or "-"


def unhexed(text: str) -> bytes:
    return b"" if text == "-" else bytes.fromhex(text)


def outcome_of(words: list[str]) -> Outcome:
    code, index, dropped, count = map(int, words[:4])
    reason, messages = unhexed(words[4]).decode(), words[5:]
    items = tuple(map(unhexed, messages[0::5]))
    uid, pid = map(int, messages[3:5]) if items else (NOBODY, 0)
    return Outcome(
        code=code,
        data=items[0] if items else None,
        index=index,
        dropped=dropped,
        attempts=int(messages[2]) if items else 0,
        delivery=int(messages[1]) if items else 0,
        reason=reason,
        count=count,
        items=items,
        sender=None if uid == NOBODY else (uid, pid),
    )
