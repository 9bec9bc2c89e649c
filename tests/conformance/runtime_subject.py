"""The runtime as a conformance subject: one process of runtime_driver.c, in which every operation
is a coroutine that calls kc_channel.h.

A user is a cancel; who dies is cancelled with that reason. Between two commands nothing happens:
the driver's one worker waits for the next line.
"""

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.errors import error_for
from kcoro_ipc.protocol.channels import KINDS, OVERFLOWS
from tests.conformance.c_client_subject import hexed, unhexed
from tests.conformance.subject import (
    ENOENT,
    FOREVER,
    OK,
    Arm,
    DeadLetter,
    Operation,
    Outcome,
    Subject,
    User,
)


class RuntimeSubject(Subject):
    batches = False
    most_bytes = 64 << 10  # KC_CHANNEL_MAX_ELEM_BYTES

    def __init__(self, driver: Path, channels: str) -> None:
        self._process = subprocess.Popen(
            [str(driver), channels],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.label = f"runtime-{channels}".rstrip("-")
        self.under_way: dict[int, Operation] = {}
        self.numbers = itertools.count(1)
        self._users = itertools.count()

    def user(self) -> "RuntimeUser":
        return RuntimeUser(self, next(self._users))

    def channel(
        self, kind: str = "rendezvous", capacity: int = 0, overflow: str = "suspend", **options: Any
    ) -> int:
        size = options.pop("elem_size", self.most_bytes)
        assert not options, f"kc_channel_config has no {options}"
        code, chan = self.ask("channel", KINDS[kind], capacity, OVERFLOWS[overflow], size)
        if code:
            raise error_for(code)
        return chan

    def dead_letter_channel(self) -> DeadLetter:
        raise AssertionError("kc_channel_config has no dead letters")

    # --- the driver ---

    def say(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the driver has ended"
        return line.strip()

    def ask(self, *words: object) -> list[int]:
        self.say(*words)
        mark, *numbers = self._line().split()
        assert mark == "="
        return [int(number) for number in numbers]

    def hear(self, command: str) -> None:
        self.say(command)
        while (line := self._line()) != ".":
            _, number, code, index, reason, *data = line.split()
            items = tuple(map(unhexed, data))
            self.under_way.pop(int(number)).end(
                Outcome(
                    code=int(code),
                    data=items[0] if items else None,
                    index=int(index),
                    reason=unhexed(reason).decode(),
                )
            )

    def check(self) -> None:
        code, *left = self.ask("usage")
        assert code == OK
        assert not any(left), f"left over: {left}"

    def finish(self) -> None:
        self._process.kill()
        self._process.communicate()


class RuntimeUser(User):
    def __init__(self, subject: RuntimeSubject, number: int) -> None:
        self.subject = subject
        self.number = number

    @property
    def identity(self) -> tuple[int, int]:
        raise AssertionError("kc_channel tells no sender")

    def _begin(self, label: str, command: str, *words: object) -> Operation:
        operation = Operation(self, label)
        operation.key = next(self.subject.numbers)
        self.subject.under_way[operation.key] = operation
        self.subject.say(command, self.number, operation.key, *words)
        self.collect()
        return operation

    def send(
        self,
        chan: int,
        data: bytes,
        timeout_ms: int = FOREVER,
        confirm: bool = False,
        ttl_ms: int = 0,
    ) -> Operation:
        assert not confirm
        assert not ttl_ms
        return self._begin(f"send {data[:16]!r}", "send", chan, timeout_ms, hexed(data))

    def receive(
        self, chan: int, timeout_ms: int = FOREVER, ack: bool = False, sender: bool = False
    ) -> Operation:
        assert not ack
        assert not sender
        return self._begin("receive", "recv", chan, timeout_ms)

    def select(
        self, arms: Sequence[Arm], timeout_ms: int = FOREVER, biased: bool = False
    ) -> Operation:
        words: list[object] = []
        for arm in arms:
            assert not arm.ack
            words += [arm.chan, *(["r"] if arm.data is None else ["s", hexed(arm.data)])]
        label = f"select of {len(arms)}"
        return self._begin(label, "select", timeout_ms, int(biased), len(arms), *words)

    def cancel(self, operation: Operation) -> None:
        (code,) = self.subject.ask("cancel", operation.key)
        assert code in (OK, ENOENT, _wire.KC_EBUSY)
        self.collect()

    def ack(self, delivery: int) -> int:
        raise AssertionError("kc_channel has no acknowledgement")

    def nack(self, delivery: int) -> int:
        raise AssertionError("kc_channel has no acknowledgement")

    def close(self, chan: int) -> int:
        return self.subject.ask("close", chan)[0]

    def destroy(self, chan: int, reason: str = "") -> int:
        return self.subject.ask("destroy", chan, hexed(reason.encode()))[0]

    def purge(self, chan: int) -> int:
        code, count = self.subject.ask("purge", chan)
        assert not code
        return count

    def statistics(self, chan: int) -> dict[str, int]:
        code, *numbers = self.subject.ask("stats", chan)
        assert not code
        return dict(zip(_wire.STAT_NAMES, numbers, strict=True))

    def die(self) -> None:
        self.subject.ask("die", self.number)

    def collect(self) -> None:
        self.subject.hear("collect")

    def pass_time(self) -> None:
        self.subject.hear("wait")
