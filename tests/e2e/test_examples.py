"""The programs in examples/ do what they say, against a real daemon."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE_S = 60.0


def run_example(name: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(EXAMPLES / name), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_frames_of_the_camera_arrive_whole_through_three_processes(start_daemon: Any) -> None:
    pytest.importorskip("numpy", reason="needs the extra numpy")
    running = start_daemon()
    done = run_example("camera.py", "12", "--socket", f"stream:{running.path}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("12 frames, 0 wrong, ")


def test_the_camera_says_in_one_line_that_there_is_no_daemon(tmp_path: Path) -> None:
    pytest.importorskip("numpy", reason="needs the extra numpy")
    done = run_example("camera.py", "1", "--socket", f"stream:{tmp_path}/none.sock")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"camera: no daemon at {tmp_path}/none.sock")
    assert done.stderr.count("\n") == 1


def test_the_camera_sees_frames_that_are_wrong() -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    sys.path.insert(0, str(EXAMPLES))
    try:
        import camera
    finally:
        sys.path.remove(str(EXAMPLES))
    frame = numpy.full(camera.SHAPE, 201 % 200 >> 1, numpy.uint8)
    frame[0, 0] = camera.number_to_pixel(201)
    assert int(frame.sum()) == camera.expected_sum(201)
    assert int(frame.sum()) != camera.expected_sum(202)
    frame[540, 7, 1] += 1
    assert int(frame.sum()) != camera.expected_sum(201)
