"""Every code of the protocol has an exit code, every error one line."""

import ast
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

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
    assert exits.line_of(error) == (
        "channel jobs: it exists with another CAPACITY: 64, not 3; "
        "open it as it is, or take another name"
    )


def test_why_a_channel_was_destroyed_stands_behind_what_happened() -> None:
    error = errors.error_for(errors.KC_ECANCELED, channel="jobs", reason="moved away")
    assert exits.line_of(error) == (
        "channel jobs: the operation was cancelled before it happened; the reason says by what: "
        "moved away; it can be tried again"
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


# --- every line says what to do next ---

CLI = Path(exits.__file__).parent
# Whoever raised what is passed on here says what to do.
SAID_BY_OTHERS = {"str(error)", "the daemon cannot start: error"}


def texts_of(tree: ast.AST, name: str) -> Iterator[str]:
    """What `name(...)` is called with in this file; of an f-string also its fields' code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield _written(node.args[0])


def _written(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_written, node.values))
    return ast.unparse(node.value if isinstance(node, ast.FormattedValue) else node)


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_command_raises_says_what_to_do(path: Path) -> None:
    for text in texts_of(ast.parse(path.read_text(encoding="utf-8")), "OutsideError"):
        advised = "; " in text or "ADVICE" in text or "_complaint" in text
        assert advised or text in SAID_BY_OTHERS, text
        assert "strerror" not in text or path.stem == "exits", "use exits.outside"


@pytest.mark.parametrize("name", ["transport", "service"])
def test_what_keeps_the_daemon_from_listening_says_what_to_do(name: str) -> None:
    source = CLI.parent.joinpath(f"{name}.py").read_text(encoding="utf-8")
    texts = [text for text in texts_of(ast.parse(source), "TransportError") if "(" not in text[:20]]
    assert texts
    assert [text for text in texts if "; " not in text] == []


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_refusal_of_the_system_has_a_next_step(number: int) -> None:
    error = exits.outside("cannot write f", OSError(number, os.strerror(number)))
    what, _, step = str(error).partition("; ")
    assert what == f"cannot write f: {os.strerror(number)}"
    assert step


@pytest.mark.parametrize("code", [code for code in errors.CODE_NAMES if code])
def test_every_code_has_a_next_step_with_and_without_the_daemons_words(code: int) -> None:
    assert re.search("; .", exits.line_of(errors.error_for(code)))
    if code in exits.STEPS:
        assert re.search("; .", exits.line_of(errors.error_for(code, reason="because")))
