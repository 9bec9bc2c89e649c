"""What is generated is up to date, and the numbers in it are the frozen ones."""

import ast
import errno
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from kcoro_ipc import _kcoro, _wire, errors, tlv

ROOT = Path(__file__).resolve().parents[2]
GENERATOR = ROOT / "tools" / "gen_wire.py"


@pytest.fixture(scope="module")
def gen_wire():
    spec = importlib.util.spec_from_file_location("gen_wire", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_file_is_up_to_date():
    done = subprocess.run(
        [sys.executable, GENERATOR, "--check"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_that_differs_is_named(gen_wire, monkeypatch, capsys):
    monkeypatch.setitem(gen_wire.tlv.LIMITS, "CLAUSES", 65)
    assert gen_wire.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert "kcoro_ipc/_wire.py" in said
    assert "native/include/kcoro/kc_wire.h" in said
    assert "docs/PROTOCOL.md" in said


def test_an_unknown_argument_of_the_generator_is_a_usage_error(gen_wire):
    assert gen_wire.main(["--chekc"]) == 2


def test_the_generated_module_imports_nothing():
    tree = ast.parse((ROOT / "kcoro_ipc" / "_wire.py").read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_errors_imports_nothing():
    tree = ast.parse((ROOT / "kcoro_ipc" / "errors.py").read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_c_and_python_have_the_same_numbers():
    ours = {name: value for name, value in vars(_wire).items() if isinstance(value, int)}
    compared = 0
    for name, value in ours.items():
        for spelled in (f"KC_{name}", name, f"KC_FRAME_{name}"):
            if hasattr(_kcoro.lib, spelled):
                assert getattr(_kcoro.lib, spelled) == value, name
                compared += 1
    assert compared == len(ours)


def test_counters_have_the_same_numbers_in_c_and_python():
    assert len(_wire.STAT_NAMES) == len(set(_wire.STAT_NAMES)) == _kcoro.lib.KC_STAT_END - 1
    for number, name in enumerate(_wire.STAT_NAMES, 1):
        assert getattr(_kcoro.lib, f"KC_STAT_{name.upper()}") == number


def test_codes_are_the_numbers_of_linux_frozen():
    for code, name in errors.CODE_NAMES.items():
        if name != "OK":
            assert -code == getattr(errno, name), name
    assert _wire.CODE_NAMES == errors.CODE_NAMES


def test_numbers_of_the_older_protocol_keep_their_meaning():
    commands = {n: c.number for n, c in tlv.COMMANDS.items() if c.number <= 35}
    assert commands == {
        "HELLO": 1, "GET_INFO": 2, "GET_STATS": 3, "SET_CONFIG": 4, "RESET_STATS": 5, "LIST": 6,
        "CHAN_MAKE": 10, "CHAN_SEND": 11, "CHAN_TRY_SEND": 12, "CHAN_RECV": 13,
        "CHAN_TRY_RECV": 14, "CHAN_CLOSE": 15, "CHAN_DESTROY": 16, "ACTOR_START": 20,
        "ACTOR_STOP": 21, "SELECT_SEND": 30, "SELECT_RECV": 31, "SELECT_REGISTER": 32,
        "SELECT_CANCEL": 33, "SELECT_NOTIFY": 34, "SELECT_CLAIM": 35,
    }  # fmt: skip
    attributes = {n: a.number for n, a in tlv.ATTRIBUTES.items() if a.number <= 26}
    assert attributes == {
        "ABI_MAJOR": 1, "ABI_MINOR": 2, "CAPS": 3, "ID": 4, "KIND": 5, "ELEM_SIZE": 6,
        "CAPACITY": 7, "TIMEOUT_MS": 8, "SEND_OPS": 9, "RECV_OPS": 10, "WAITERS_S": 11,
        "WAITERS_R": 12, "DROPS": 13, "LAT_MIN": 14, "LAT_MAX": 15, "LAT_AVG": 16,
        "FIFO_MAX": 17, "CHAN_ID": 20, "ELEMENT": 21, "RESULT": 22, "ACTOR_ID": 23,
        "MSG_SIZE": 24, "SELECT_MASK": 25, "REQ_ID": 26,
    }  # fmt: skip


@pytest.mark.parametrize("table", [tlv.COMMANDS, tlv.ATTRIBUTES], ids=["commands", "attributes"])
def test_no_number_is_used_twice(table):
    numbers = [entry.number for entry in table.values()]
    assert len(numbers) == len(set(numbers))


def test_flags_of_a_command_are_single_bits_that_do_not_overlap():
    for flags in tlv.FLAGS.values():
        assert all(bit.bit_count() == 1 for bit in flags.values())
        assert len(set(flags.values())) == len(flags)
