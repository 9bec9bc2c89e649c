"""`kcoro demo`, `kcoro decode` and `kcoro bench` as a newcomer would run them."""

import json
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import tlv
from kcoro_ipc.cli import _demo_material

HELLO = tlv.build_frame("HELLO", [("ABI_MAJOR", 1), ("ABI_MINOR", 1)], 0)
SEND = tlv.build_frame("CHAN_SEND", [("REQ_ID", 7), ("CHAN_ID", 1001), ("ELEMENT", b"hi")], 1)


def test_demo_moves_the_standard_library_and_checks_every_byte(kcoro: Any) -> None:
    finished = kcoro("demo", "--json")
    assert finished.returncode == 0, finished.stderr
    verdicts = {one["channel"]: one for one in json.loads(finished.stdout)}
    assert set(verdicts) == {"files", "lines"}
    root = _demo_material.library()
    paths = _demo_material.sources(root)
    assert verdicts["files"]["received"]["messages"] == len(paths) > 500
    for stream, one in verdicts.items():
        assert one["good"]
        assert one["received"] == one["sent"] == _demo_material.expected(stream, root)._asdict()
    assert verdicts["files"]["statistics"]["kind"] == "rendezvous"
    assert verdicts["files"]["statistics"]["rv_matches"] == len(paths)
    assert verdicts["lines"]["statistics"]["kind"] == "buffered"


def test_demo_says_in_plain_lines_what_it_does(kcoro: Any) -> None:
    finished = kcoro("demo")
    assert (finished.returncode, finished.stderr) == (0, b"")
    text = finished.stdout.decode()
    assert "\x1b" not in text
    assert re.search(r"^files: consumer has \d+ of \d+$", text, re.MULTILINE)
    assert re.search(r"^lines +buffered +\d+ .* matches$", text, re.MULTILINE)
    assert text.endswith("every message arrived, once and whole\n")


def test_demo_shows_bars_on_a_terminal(kcoro: Any) -> None:
    ours, theirs = pty.openpty()
    shown = b""
    with open(ours, "rb", buffering=0) as screen:
        with open(theirs, "wb", buffering=0) as terminal:
            environment = {**kcoro.environment(), "TERM": "xterm", "COLUMNS": "120"}
            started = kcoro.start("demo", stdout=terminal, stderr=terminal, env=environment)
        try:
            while data := screen.read(65536):
                shown += data
        except OSError:
            pass  # EIO: the other side of the terminal is closed
    assert started.wait() == 0
    assert b"\x1b[" in shown
    assert b"files received" in shown


@pytest.mark.parametrize("change", ["messages", "bytes", "sha256"])
def test_a_demo_in_which_something_differs_fails(change: str) -> None:
    from kcoro_ipc.cli._demo_run import Verdict
    from kcoro_ipc.metrics import ChannelSnapshot

    result = _demo_material.Result(2, 10, "abc")
    counters = ChannelSnapshot(chan_id=1, total_sends=2, acks=2)
    assert Verdict("files", result, result, result, 1.0, counters).good
    other = result._replace(**{change: "other" if change == "sha256" else 3})
    assert not Verdict("files", result, result, other, 1.0, counters).good
    assert not Verdict("files", result, other, result, 1.0, counters).good


def test_decode_prints_frames_of_bytes_hex_and_files(kcoro: Any, tmp_path: Path) -> None:
    (tmp_path / "capture").write_bytes(HELLO + SEND)
    from_stdin = kcoro("decode", stdin=HELLO + SEND)
    from_hex = kcoro("decode", "--hex", stdin=(HELLO + SEND).hex("\n", 5).encode())
    from_file = kcoro("decode", str(tmp_path / "capture"))
    assert from_stdin.returncode == from_hex.returncode == from_file.returncode == 0
    assert from_stdin.stdout == from_hex.stdout == from_file.stdout
    text = from_stdin.stdout.decode()
    assert "HELLO" in text
    assert 'ELEMENT "hi"' in text
    assert "CHAN_SEND" in kcoro("decode", "--abi", "1.1", "-", stdin=SEND).stdout.decode()


def test_decode_says_where_it_stops_to_understand(kcoro: Any) -> None:
    cut = kcoro("decode", stdin=HELLO + SEND[:-1])
    assert cut.returncode == 1
    assert f"at byte {len(HELLO)}" in cut.stdout.decode()
    assert len(cut.stderr.splitlines()) == 1
    for bad in (b"0x12", b"123"):
        assert kcoro("decode", "--hex", stdin=bad).returncode == 2


def test_bench_without_a_checkout_says_how(kcoro: Any, tmp_path: Path) -> None:
    """The package alone, as an installation has it."""
    program = (
        "import sys, kcoro_ipc\n"
        f"kcoro_ipc.__file__ = {str(tmp_path / 'kcoro_ipc_elsewhere' / '__init__.py')!r}\n"
        "from kcoro_ipc.cli.main import main\n"
        "main(['bench'])\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert finished.returncode == 2
    assert b"make bench" in finished.stderr
