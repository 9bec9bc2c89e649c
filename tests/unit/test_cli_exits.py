"""Every code of the protocol has an exit code, every error one line."""

import pytest

from kcoro_ipc import errors
from kcoro_ipc.cli import exits, main
from kcoro_ipc.cli.invocation import Invocation

WANTED = {
    exits.USAGE: {"EINVAL", "ENAMETOOLONG", "ENOTSUP"},
    exits.WOULD_BLOCK: {"EAGAIN"},
    exits.TIMED_OUT: {"ETIME", "EINPROGRESS"},
    exits.CLOSED: {"EPIPE"},
    exits.CANCELLED: {"ECANCELED"},
    exits.REFUSED: {"EACCES", "EDQUOT", "EEXIST", "EMSGSIZE", "ENOMEM", "ENOSPC"},
    exits.NO_CHANNEL: {"ENOENT"},
    exits.NO_DAEMON: {"ECONNRESET"},
    exits.OUR_FAULT: {"EBADF", "EBUSY", "ENOSYS", "EPROTO", "EPROTONOSUPPORT"},
}


@pytest.mark.parametrize(("status", "names"), WANTED.items())
def test_codes_end_with_their_exit_code(status: int, names: set[str]) -> None:
    found = {
        name
        for code, name in errors.CODE_NAMES.items()
        if code and exits.code_of(errors.error_for(code)) == status
    }
    assert found == names


def test_the_daemons_own_words_replace_the_general_ones() -> None:
    error = errors.error_for(
        errors.KC_EEXIST, channel="jobs", reason="it exists with another CAPACITY: 64, not 3"
    )
    assert exits.line_of(error) == "channel jobs: it exists with another CAPACITY: 64, not 3"


def test_why_a_channel_was_destroyed_stands_behind_what_happened() -> None:
    error = errors.error_for(errors.KC_ECANCELED, channel="jobs", reason="moved away")
    assert exits.line_of(error) == (
        "channel jobs: the operation was cancelled before it happened; the reason says by what: "
        "moved away"
    )


def test_a_quota_is_named_with_limit_usage_and_setting() -> None:
    error = errors.error_for(
        errors.KC_EDQUOT, quota="channels", limit=2, usage=2, setting="limits.channels_per_uid"
    )
    line = exits.line_of(error)
    assert line.endswith("(quota channels, limit 2, usage 2, setting limits.channels_per_uid)")
    assert line.startswith("a quota is used up")


def test_an_error_is_one_line_whatever_stands_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    invocation = Invocation()
    invocation.say("a\nb\x1b[31m")
    assert capsys.readouterr().err == "kcoro: a b\\x1b[31m\n"
    invocation.quiet = True
    invocation.say("nothing")
    assert capsys.readouterr().err == ""


def test_a_fault_of_ours_is_named_and_not_the_nurseries_it_came_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def falls(words: list[str], invocation: Invocation) -> int:
        nested = ExceptionGroup("inner", [ZeroDivisionError("planted"), ValueError("second")])
        raise ExceptionGroup("Exceptions from Trio nursery", [nested])

    monkeypatch.setattr(main, "run", falls)
    monkeypatch.delenv("KCORO_DEBUG", raising=False)
    assert main.guarded(["serve"], Invocation()) == exits.OUR_FAULT
    assert capsys.readouterr().err == (
        "kcoro: a fault of ours, please report it: ZeroDivisionError: planted "
        "(KCORO_DEBUG=1 shows where)\n"
    )
