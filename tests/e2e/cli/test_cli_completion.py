"""Completion as the shells themselves do it: each is started, and asked what it would offer.

The files that `--install` writes and those in completions/ are loaded the way a shell finds them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc.cli.completion import PLACES

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
SHELLS = ("bash", "zsh", "fish")
# bash: what bash-completion does at Tab, a new shell that knows only the file.
BASH = """
source "$FILE"
COMP_WORDS=(kcoro $WORDS) COMP_CWORD=$(($# + 1))
set -- $WORDS; COMP_CWORD=$#
_kcoro_completion kcoro
printf '%s\\n' "${COMPREPLY[@]}"
"""
# zsh completes only in a terminal, so one is opened; what it offers is shown between two marks.
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT= ; fpath=($FOLDER \\$fpath); autoload -Uz compinit; compinit -D -u"
zpty -w shell "show() { print -rl -- begin-\\${^got}-end }"
zpty -w shell "compadd() { builtin compadd -O got \\"\\$@\\"; show; builtin compadd \\"\\$@\\" }"
zpty -w shell "bindkey '^I' complete-word; print ready-\\$((1 + 1))"
zpty -r -m shell line '*ready-2*'
zpty -n -w shell "kcoro $WORDS"$'\\t'
zpty -r -m shell line '*begin-*-end*'
print -r -- $line
zpty -d shell
"""


def needed(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


def environment(kcoro: Any, home: Path, **more: str) -> dict[str, str]:
    kept = {key: kcoro.environment()[key] for key in ("KCORO_SOCKET",)}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "HOME": str(home), "TERM": "dumb", **more}


def offered(shell: str, file: Path, words: str, given: dict[str, str]) -> str:
    """All that the shell prints when it completes the last of `words`, with `file` in place."""
    program = needed(shell)
    if shell == "fish":
        script = f"source {file}; complete -C 'kcoro {words}'"
    else:
        script = BASH if shell == "bash" else ZSH
    more = {"FILE": str(file), "FOLDER": str(file.parent), "WORDS": words}
    finished = subprocess.run(
        [program, *(["-f"] if shell == "zsh" else []), "-c", script],
        env={**given, **more},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


FILES = {"bash": "kcoro.bash", "zsh": "_kcoro", "fish": "kcoro.fish"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_from_the_packaged_file(
    kcoro: Any, tmp_path: Path, shell: str
) -> None:
    file = ROOT / "completions" / FILES[shell]
    said = offered(shell, file, "dest", environment(kcoro, tmp_path))
    assert "destroy" in said
    assert "close" not in said


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_names_of_channels_from_the_file_of_install(
    kcoro: Any, tmp_path: Path, shell: str
) -> None:
    name = f"names-for-{shell}"
    kcoro("make", name)
    given = environment(kcoro, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "kcoro_ipc", "completion", shell, "--install"],
        env=given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("wrote ")
    file = Path(done.stdout.split()[1].rstrip(";"))
    assert file.is_relative_to(tmp_path)
    assert name in offered(shell, file, f"recv {name[:-1]}", given)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_packaged_is_what_install_writes(shell: str) -> None:
    """But for the comment that says what the file is."""
    lines = (ROOT / "completions" / FILES[shell]).read_text().splitlines(keepends=True)
    packaged = "".join(line for line in lines if not line.startswith("# "))
    assert packaged == PLACES[shell][1]


def test_install_says_where_it_cannot_write(kcoro: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = kcoro("completion", "bash", "--install", XDG_DATA_HOME=str(tmp_path / "taken"))
    assert done.returncode == 1
    assert b"cannot write" in done.stderr


def test_the_installed_manual_is_found_beside_the_program() -> None:
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    if not (BIN / "kcoro").exists():
        pytest.skip("the package is not installed here: there is no manual beside the interpreter")
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    for section, name in (("1", "kcoro"), ("5", "kcoro.toml"), ("7", "kcoro-protocol")):
        found = subprocess.run(
            ["man", "-w", section, name],
            env={"PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert Path(found.stdout.strip()) == BIN.parent / f"share/man/man{section}/{name}.{section}"
