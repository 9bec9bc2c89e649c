"""What workers say about the messages that are counted, and whether all of it can be true.

Lines of a journal: `sending B` before, then `sent B` or `cancelled B`; `got B N` (N: earlier
deliveries), `acking B` before its acknowledgement is sent. B is the message itself. A worker that
is killed leaves out what it could not say any more.

Where the daemon is killed and started again there is `doubt B` too, and `sent B` says that it was
acknowledged (renewing.py).

What must hold, contract 4.7 and 4.9: what was cancelled is nowhere; what was sent is delivered at
least once, and acknowledged or delivered again; of one message only the first delivery is not
flagged; nothing arrives that nobody was sending.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Self

COUNTED = "counted"
RENEWED = "renewed"


class Journal:
    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._name = os.path.basename(path)
        self._numbers = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _say(self, word: str, body: bytes, *more: object) -> None:
        text = " ".join((word, body.decode(), *map(str, more)))
        os.write(self._file, f"{text}\n".encode())

    def sending(self) -> bytes:
        body = f"{self._name}-{next(self._numbers)}".encode()
        self._say("sending", body)
        return body

    def sent(self, body: bytes) -> None:
        self._say("sent", body)

    def doubt(self, body: bytes) -> None:
        self._say("doubt", body)

    def cancelled(self, body: bytes) -> None:
        self._say("cancelled", body)

    def got(self, body: bytes, attempts: int) -> None:
        self._say("got", body, attempts)

    def acking(self, body: bytes) -> None:
        self._say("acking", body)


def lines_of(paths: Iterable[str]) -> Iterator[list[str]]:
    """A line that was cut off by the end of its writer has no newline and does not count."""
    for path in paths:
        with open(path) as file:
            yield from (line.split() for line in file if line.endswith("\n"))


class Account:
    """All journals together; `faults` is empty when they agree with the contract."""

    def __init__(self, lines: Iterable[list[str]]) -> None:
        self.said: dict[str, set[str]] = defaultdict(set)
        self.first: Counter[str] = Counter()
        for word, body, *more in lines:
            self.said[word].add(body)
            if word == "got" and more == ["0"]:
                self.first[body] += 1

    def faults(self) -> list[str]:
        said = self.said
        broken = {
            "was sent and never arrived": said["sent"] - said["got"],
            "was cancelled and arrived": said["cancelled"] & said["got"],
            "was both sent and cancelled": said["cancelled"] & said["sent"],
            "arrived and nobody sent it": said["got"] - said["sending"],
            "was sent and never acknowledged": said["sent"] - said["acking"],
            "arrived for the first time twice": {b for b, n in self.first.items() if n > 1},
        }
        return [f"{body} {what}" for what, bodies in broken.items() for body in sorted(bodies)]

    def __str__(self) -> str:
        words = ("sending", "sent", "cancelled", "got", "acking")
        return " ".join(f"{word}={len(self.said[word])}" for word in words)


class Renewed(Account):
    """Journals of those whose daemon was killed under them.

    What was sent had been acknowledged. What was in doubt arrived or did not, but not twice for
    the first time: then a client would have repeated it. Each send came to one of these ends, but
    for the `unfinished` ones that their process was killed in. And some were in doubt: else
    nothing was tried.
    """

    def faults(self, unfinished: int = 0) -> list[str]:
        said = self.said
        faults = super().faults()
        faults += [f"{body} was both sent and in doubt" for body in said["sent"] & said["doubt"]]
        left = said["sending"] - said["sent"] - said["doubt"]
        if len(left) > unfinished:
            faults.append(f"{len(left)} sends have no end, not {unfinished} at most")
        if not said["doubt"]:
            faults.append("nothing was ever in doubt")
        return faults

    def __str__(self) -> str:
        return f"{super().__str__()} doubt={len(self.said['doubt'])}"
