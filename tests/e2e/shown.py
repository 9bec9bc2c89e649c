"""Commands that a page shows, and the shell that runs them as a reader would type them.

`...` in shown output stands for anything, a line of `...` for any number of lines.
"""

import os
import re
import secrets
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 60.0  # bounds a command that hangs; nothing is judged by time


@dataclass(frozen=True)
class Step:
    """A command (or daemon, or program) and the output that the page shows for it."""

    kind: str
    text: str
    shown: str | None


def commands(body: str) -> Iterator[Step]:
    """`$ command`, continued by lines after `> `, then its output up to the next `$ `."""
    for part in re.split(r"^\$ ", body, flags=re.M)[1:]:
        lines = part.splitlines(keepends=True)
        length = next(
            (i for i, one in enumerate(lines) if i and not one.startswith("> ")), len(lines)
        )
        command = lines[0] + "".join(line.removeprefix("> ") for line in lines[1:length])
        yield Step("command", command.strip(), "".join(lines[length:]))


def agrees(shown: str, seen: str) -> bool:
    parts = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(re.escape("..."), ".*") + r"\n"
        for line in shown.rstrip("\n").split("\n")
    ]
    pattern = "".join(parts) if shown.strip() else ""
    return (
        re.fullmatch(pattern, seen if seen.endswith("\n") or not seen else seen + "\n") is not None
    )


class Shell:
    """One bash, to which commands are fed one by one; stdout and stderr come as one stream.

    `within`: words before it, of a program that runs it somewhere else.
    """

    def __init__(
        self, folder: Path, environment: dict[str, str], within: Sequence[str] = ()
    ) -> None:
        self._mark = f"mark-{secrets.token_hex(8)}"
        self._process = subprocess.Popen(
            [*within, "bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[str, int]:
        """Its output and its exit status. A command that hangs fails the test."""
        assert self._process.stdin is not None
        wrapped = f"{{ {command}\n}} </dev/null\nprintf '%s %d\\n' {self._mark} $?\n"
        self._process.stdin.write(wrapped.encode())
        self._process.stdin.flush()
        text = self._until(re.compile(rf"{self._mark} (\d+)\n$"))
        output, _, status = text.rpartition(self._mark)
        return output, int(status)

    def _until(self, end: re.Pattern[str]) -> str:
        assert self._process.stdout is not None
        text, deadline = "", time.monotonic() + PATIENCE_S
        while not end.search(text):
            left = deadline - time.monotonic()
            ready = select.select([self._process.stdout], [], [], max(left, 0))[0]
            data = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            assert data, f"no end came; so far:\n{text}"
            text += data.decode(errors="replace")
        return text

    def close(self) -> None:
        """Ends it and whatever it left in the background."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.communicate()


def follow(shell: Shell, command: str, shown: str | None) -> None:
    """The command ends well, and prints what is shown."""
    output, status = shell.run(command)
    assert status == 0, f"{command}\nended with {status}:\n{output}"
    if shown is not None:
        assert agrees(shown, output), f"{command}\nthe page shows:\n{shown}\nit printed:\n{output}"
