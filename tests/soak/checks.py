"""What the soak looked at and what of it did not hold, for its last line."""

from collections.abc import Sequence


class Checks:
    """Each `that` and each `none` is one check, however many faults it found."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.faults: list[str] = []

    def that(self, holds: bool, otherwise: str) -> None:
        self.none([] if holds else [otherwise])

    def none(self, faults: Sequence[str]) -> None:
        if faults:
            self.failed += 1
            self.faults += faults
        else:
            self.passed += 1

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"
