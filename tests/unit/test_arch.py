"""The switch of stacks as its pages and its build tell it: layouts, processors, lanes. What it does
is tested in C (tests/native/test_rt_arch*.c)."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADER = (ROOT / "native/arch/kc_arch.h").read_text()
PROCESSORS = ("x86_64", "aarch64")

MACRO = re.compile(r"^#define (KC_(?:FRAME|REG)_\w+) (\d+)", re.MULTILINE)
ROW = re.compile(r"^\| (\d+) \| `(KC_\w+)` \|", re.MULTILINE)


def in_header(processor: str) -> dict[str, int]:
    """The layout between `defined(__<processor>__)` and the next branch of the first #if."""
    part = HEADER.split(f"defined(__{processor}__)", 1)[1].split("\n#el", 1)[0]
    return {name: int(value) for name, value in MACRO.findall(part)}


def in_page(processor: str) -> dict[str, int]:
    text = (ROOT / f"docs/arch/{processor}.md").read_text()
    return {name: int(value) for value, name in ROW.findall(text)}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_tables_of_a_page_are_the_layout_of_the_header(processor: str) -> None:
    assert len(in_header(processor)) >= 15
    assert in_page(processor) == in_header(processor)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_assembly_uses_every_offset_by_its_name(processor: str) -> None:
    source = (ROOT / f"native/arch/{processor}/switch.S").read_text()
    unused = {name for name in in_header(processor) if not re.search(rf"\b{name}\b", source)}
    assert unused == {"KC_FRAME_BYTES"}  # the end of a frame, which KC_FRAME_TOP covers


@pytest.mark.parametrize("lab", ["lab_waiter_token", "lab_token_vm_mirror"])
def test_the_page_of_the_labs_shows_what_they_print(lab: str) -> None:
    printed = (ROOT / f"tests/native/lab/{lab}.txt").read_text()
    shown = (ROOT / "docs/arch/labs.md").read_text()
    assert "".join(f"    {line}\n" for line in printed.splitlines()) in shown


def test_the_page_of_the_labs_shows_the_live_registers_of_each_processor() -> None:
    shown = (ROOT / "docs/arch/labs.md").read_text()
    for processor in PROCESSORS:
        line = (ROOT / f"tests/native/lab/lab_token_vm_{processor}.txt").read_text().strip()
        assert f"| {processor} | `{line}` |" in shown


def cmake() -> str | None:
    beside = Path(sys.executable).parent
    return shutil.which("cmake", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")


@pytest.mark.skipif(cmake() is None, reason="no cmake")
@pytest.mark.parametrize("processor", ["riscv64", "i686", "aarch64_be"])
def test_another_processor_is_refused_by_name(tmp_path: Path, processor: str) -> None:
    done = subprocess.run(
        [
            str(cmake()),
            *("-S", ROOT / "native", "-B", tmp_path, "-DCMAKE_SYSTEM_NAME=Linux"),
            f"-DCMAKE_SYSTEM_PROCESSOR={processor}",
        ],
        capture_output=True,
        text=True,
    )
    said = " ".join(done.stderr.split())
    assert done.returncode != 0
    assert f"do not run on the processor '{processor}'" in said
    assert "Supported are x86_64 and aarch64" in said
    assert "The switch of stacks is assembly" in said


def test_the_lane_for_aarch64_is_skipped_by_name_without_its_tools(tmp_path: Path) -> None:
    for name in ("sh", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run(
        [ROOT / "tools/native.sh", "native-aarch64"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    skipped, count = done.stdout.splitlines()
    assert skipped.startswith("skipped: native-aarch64: ")
    assert "gcc-aarch64-linux-gnu" in skipped
    assert "qemu-user" in skipped
    assert count == "0 passed, 0 failed, 1 skipped"
