"""The soak's last line counts what was looked at, and not the faults that one look found."""

from tests.soak.checks import Checks


def test_each_check_is_counted_once_whatever_it_found() -> None:
    checks = Checks()
    checks.that(True, "never said")
    checks.that(1 + 1 == 3, "arithmetic")
    checks.none([])
    checks.none(["one message", "another message"])
    assert str(checks) == "2 passed, 2 failed"
    assert checks.faults == ["arithmetic", "one message", "another message"]


def test_nothing_looked_at_is_nothing_passed() -> None:
    assert str(Checks()) == "0 passed, 0 failed"
