"""Who may know whom: the imports of kcoro_ipc/ and the #include lines of native/ and two tables.

A file may know files of lower rows only (in C also files of its own noun). A file that has no row
fails the test: whoever adds one says here where it stands. The checkers are tested on planted
trees.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Lowest first. Names are relative to kcoro_ipc.
PYTHON_ROWS: list[set[str]] = [
    {"_kcoro"},
    {"errors", "_wire", "forks", "journal", "access", "identity", "strict", "building"},
    {"exposition"},
    {
        "tlv",
        "metrics",
        "books",
        "codecs",
        "files",
        "frames",
        "logs",
        "names",
        "quotas",
        "records",
        "trio_errors",
    },
    {"decode", "throttle", "rights", "waiting_requests"},
    {"structs"},
    {"native"},
    {"reports"},
    {"pump"},
    {"protocol", "engine"},
    {"registry", "settings"},
    {"region_lives", "user_lives", "channel_lives"},
    {"broker"},
    {"scrape", "telling", "channel_making"},
    {"control"},
    {"config_forms"},
    {"config_shown"},
    {"transport", "regions", "config", "layouts"},
    {"service", "acceptor", "signals", "units"},
    {"draining", "trimming", "closing", "arrays", "metrics_http"},
    {"outgoing", "inboxes", "lending", "linking"},
    {"ends"},
    {"daemon", "client", "blocking"},
    {"reloading"},
    {"__init__"},
    {"embedded", "watchdog"},
    {"monitor"},
    {"cli"},
    {"__main__"},
]
COMPILED_MODULE_USERS = {"structs"}
# What a program that only talks to the daemon must never load, directly or through others.
SERVER_SIDE = {
    "_kcoro",
    "structs",
    "native",
    "engine",
    "pump",
    "tlv",
    "registry",
    "broker",
    "control",
    "daemon",
}
CLIENT_SIDE = {
    "client": SERVER_SIDE | {"construct"},
    "blocking": SERVER_SIDE | {"construct", "trio"},
}

# Lowest first. A file's noun is the first word of its name: chan.c, chan_ack.c, kc_chan.h: "chan".
NATIVE_ROWS: list[set[str]] = [
    {"kcoro/kc_wire"},
    {"kcoro/kc_types"},
    {"kcoro/kc_engine"},
    {"kcoro/kc_chan"},
    {"kcoro/kc_desc", "kcoro/kc_file"},
    {"core/state", "core/layout", "core/order"},
    {"core/lock", "core/word"},
    {"core/record"},
    {"core/arena"},
    {"core/pool"},
    {"core/account"},
    {"core/block"},
    {"core/extra"},
    {"core/body"},
    {"core/msg"},
    {"core/token"},
    {"core/port"},
    {"core/scope"},
    {"core/flow"},
    {"core/seat", "core/cell"},
    {"core/settle", "core/waiter", "core/tree"},
    {"core/chan"},
    {"core/desc", "core/region", "core/file"},
    {"core/offer"},
    {"core/look", "core/park"},
    {"core/op", "core/select"},
    {"core/deadline", "core/trim"},
    {"core/metrics", "core/check"},
    {"core/engine"},
    {"kcoro/kc_pump"},
    {"kcoro/kc_turn"},
    {"ipc/bytes"},
    {"ipc/frame"},
    {"ipc/request", "ipc/writer"},
    {"kcoro/kc_codec"},
    {"kcoro/kc_co"},
    {"kcoro/kc_sched", "kcoro/kc_cancel"},
    {"kcoro/kc_timer", "kcoro/kc_io"},
    {"kcoro/kc_channel"},
    {"kcoro/kc_task"},
    {"kcoro/kc_actor"},
    {"kcoro/kc_ipc"},
    {"ipc/codec"},
    {"ipc/stream"},
    {"ipc/conn"},
    {"ipc/pump", "ipc/region"},
    {"ipc/turn"},
    {"arch/arch"},
    {"arch/switch"},
    {"runtime/deque", "runtime/ready", "runtime/sanitize", "runtime/stack"},
    {"runtime/wake"},
    {"runtime/heap"},
    {"runtime/timers", "runtime/poller", "runtime/blocking"},
    {"runtime/coroutine", "runtime/futex"},
    {"runtime/wait"},
    {"runtime/clock"},
    {"runtime/worker"},
    {"runtime/sleepers", "runtime/forked"},
    {"runtime/guard", "runtime/sched", "runtime/timer", "runtime/io", "runtime/block"},
    {"runtime/cancel", "runtime/latch"},
    {"runtime/hub"},
    {"runtime/apart", "runtime/channel", "runtime/local", "runtime/select"},
    {"runtime/task"},
    {"runtime/actor"},
    {"lab/token"},
    {"lab/mirror"},
    {"lab/lab"},
    {"client/client"},
    {
        "client/address",
        "client/advice",
        "client/ask",
        "client/base",
        "client/call",
        "client/chan",
        "client/connect",
        "client/control",
        "client/credit",
        "client/due",
        "client/input",
        "client/judge",
        "client/loan",
        "client/mapping",
        "client/message",
        "client/op",
        "client/output",
        "client/pair",
        "client/region",
        "client/reply",
        "client/timer",
        "client/unix",
        "client/wait",
    },
    {"kcoro/kc_remote"},
    {"kcoro/kcoro"},
    {"remote/remote"},
]
NATIVE_FOLDERS = ("core", "ipc", "arch", "runtime", "client", "remote", "lab")
KNOW_ONLY_BYTES = {
    f"ipc/{noun}" for noun in ("bytes", "frame", "request", "writer", "codec", "stream")
}
# The client of the daemon: nothing of the engine, and of the wire only how frames are read.
CLIENT_MAY_KNOW = {"ipc/bytes", "ipc/frame", "kcoro/kc_ipc", "kcoro/kc_types", "kcoro/kc_wire"}
BYTES_MAY_KNOW = KNOW_ONLY_BYTES | {"kcoro/kc_wire", "kcoro/kc_types", "kcoro/kc_codec"}


def rank_of(name: str, rows: list[set[str]]) -> int | None:
    return next((rank for rank, row in enumerate(rows) if name in row), None)


# --- Python -------------------------------------------------------------------------------------


def modules(package: Path) -> dict[str, Path]:
    """Every module of the package by its name relative to it."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = path
    return found


def row_name(module: str) -> str:
    """A sub-package has one row: cli.send stands where cli stands."""
    return module.split(".")[0]


def nodes(tree: ast.AST, runtime_only: bool) -> Iterator[ast.AST]:
    """Every node below; without `if TYPE_CHECKING:` and function bodies for what loading runs."""
    for node in ast.iter_child_nodes(tree):
        late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not (runtime_only and (late or typing)):
            yield node
            yield from nodes(node, runtime_only)


def imports(name: str, path: Path, runtime_only: bool = False) -> set[str]:
    """What a module imports: ours relative to the package, others by top name."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [] if name == "__init__" else package
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_text()), runtime_only):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= spelled(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                base = ["kcoro_ipc", *package[: len(package) - node.level + 1], *base]
            for alias in node.names:
                found |= spelled([*base, alias.name])
    return found


def spelled(parts: list[str]) -> set[str]:
    if parts[0] != "kcoro_ipc":
        return {parts[0]}
    return {".".join(parts[1:])} if len(parts) > 1 else {"__init__"}


def ours(imported: str, known: dict[str, Path]) -> str | None:
    """The module of the package that an import reaches: `errors.Closed` is errors."""
    parts = imported.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in known or parts[:end] == ["_kcoro"]:
            return ".".join(parts[:end])
    return None


def python_graph(package: Path, runtime_only: bool = False) -> dict[str, set[str]]:
    known = modules(package)
    return {
        name: {
            ours(imported, known) or imported.split(".")[0]
            for imported in imports(name, path, runtime_only)
        }
        for name, path in known.items()
    }


def cycles(package: Path) -> list[str]:
    """Modules that reach themselves while loaded; inside a sub-package the rows say nothing."""
    graph = python_graph(package, runtime_only=True)
    return [name for name in sorted(graph) if name in closure(name, graph)]


def python_faults(package: Path) -> Iterator[str]:
    graph = python_graph(package)
    for name, targets in graph.items():
        rank = rank_of(row_name(name), PYTHON_ROWS)
        if rank is None:
            yield f"kcoro_ipc/{name} has no row in PYTHON_ROWS"
            continue
        for target in sorted(targets - {name}):
            if target == "_kcoro" and name not in COMPILED_MODULE_USERS:
                yield f"{name} imports _kcoro; only {sorted(COMPILED_MODULE_USERS)} may"
            other = rank_of(row_name(target), PYTHON_ROWS)
            same_package = row_name(target) == row_name(name)
            if other is not None and other >= rank and not same_package:
                yield f"{name} imports {target}, which does not stand below it"
    yield from client_faults(graph)


def client_faults(graph: dict[str, set[str]]) -> Iterator[str]:
    for name, forbidden in CLIENT_SIDE.items():
        reached = closure(name, graph)
        for target in sorted(reached & forbidden):
            yield f"{name} reaches {target}, which no client may load"


def closure(name: str, graph: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        for target in graph.get(waiting.pop(), set()) - reached - {"__init__"}:
            reached.add(target)
            waiting.append(target)
    return reached


# --- C ------------------------------------------------------------------------------------------

INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)


def native_files(native: Path) -> list[Path]:
    folders = [native / name for name in (*NATIVE_FOLDERS, "include/kcoro")]
    return [path for folder in folders for path in sorted(folder.glob("*.[ch]"))]


def noun(path: Path) -> str:
    """core/chan_ack.c and core/kc_chan.h are core/chan; kcoro/kc_chan.h is kcoro/kc_chan."""
    folder = path.parent.name
    if folder == "kcoro":
        return f"kcoro/{path.stem}"
    return f"{folder}/{path.stem.removeprefix('kc_').split('_')[0]}"


def included(path: Path) -> Iterator[str]:
    """The nouns of our own files that this one includes; a bare name is one of its own folder."""
    for name in INCLUDE.findall(path.read_text()):
        folder, _, _ = name.rpartition("/")
        if folder.split("/")[-1] in (*NATIVE_FOLDERS, "kcoro"):
            yield noun(Path(name))
        elif (path.parent / name).exists():
            yield noun((path.parent / name).resolve())


def native_faults(native: Path) -> Iterator[str]:
    for path in native_files(native):
        name, rank = noun(path), rank_of(noun(path), NATIVE_ROWS)
        label = str(path.relative_to(native))
        if rank is None:
            yield f"{label}: {name} has no row in NATIVE_ROWS"
            continue
        for target in included(path):
            other = rank_of(target, NATIVE_ROWS)
            if other is None:
                yield f"{label} includes {target}, which has no row in NATIVE_ROWS"
            elif target != name and other >= rank:
                yield f"{label} includes {target}, which does not stand below it"
            elif name in KNOW_ONLY_BYTES and target not in BYTES_MAY_KNOW:
                yield f"{label} includes {target}, but {name} knows only bytes"
            elif name.startswith("client/") and not (
                target in CLIENT_MAY_KNOW or target.startswith("client/")
            ):
                yield f"{label} includes {target}, which no client may know"


# --- the claims ---------------------------------------------------------------------------------


def test_no_python_module_imports_one_that_does_not_stand_below_it() -> None:
    assert list(python_faults(ROOT / "kcoro_ipc")) == []


def test_no_python_module_needs_itself_to_be_loaded() -> None:
    assert cycles(ROOT / "kcoro_ipc") == []


def test_no_native_file_includes_one_that_does_not_stand_below_it() -> None:
    assert list(native_faults(ROOT / "native")) == []


def test_the_header_of_all_headers_has_each_public_one_once() -> None:
    folder = ROOT / "native" / "include" / "kcoro"
    listed = re.findall(
        r"^#include <kcoro/(\w+\.h)>", (folder / "kcoro.h").read_text(), re.MULTILINE
    )
    assert sorted(listed) == sorted({path.name for path in folder.glob("*.h")} - {"kcoro.h"})


def test_a_row_names_each_thing_once() -> None:
    for rows in (PYTHON_ROWS, NATIVE_ROWS):
        assert sum(len(row) for row in rows) == len(set().union(*rows))


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"errors.py": "from kcoro_ipc.tlv import Frame"}, "errors imports tlv, which does not"),
        ({"errors.py": "from . import tlv"}, "errors imports tlv, which does not"),
        (
            {"errors.py": "def late():\n    import kcoro_ipc.tlv"},
            "errors imports tlv, which does not",
        ),
        ({"tlv.py": "import kcoro_ipc._kcoro"}, "tlv imports _kcoro; only"),
        ({"tlv.py": "from .daemon import serve"}, "tlv imports daemon, which does not stand"),
        (
            {"codecs.py": "import construct", "client.py": "from . import codecs"},
            "client reaches construct",
        ),
        ({"blocking.py": "import trio"}, "blocking reaches trio"),
        ({"metrics.py": "from .cli.top import table"}, "metrics imports cli.top"),
        ({"oddity.py": ""}, "kcoro_ipc/oddity has no row"),
    ],
)
def test_the_python_checker_reports_a_planted_import(
    tmp_path: Path, files: dict[str, str], fault: str
) -> None:
    names = ("__init__", "errors", "tlv", "metrics", "codecs", "client", "blocking", "daemon")
    for name in names:
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "top.py").touch()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    faults = list(python_faults(tmp_path))
    assert len(faults) == 1, faults
    assert faults[0].startswith(fault)


def test_the_python_checker_reports_a_planted_cycle(tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "a.py").write_text("from kcoro_ipc.cli import b\n")
    (tmp_path / "cli" / "b.py").write_text("from kcoro_ipc.cli.c import x\n")
    (tmp_path / "cli" / "c.py").write_text("import kcoro_ipc.cli.a\n")
    (tmp_path / "cli" / "d.py").write_text("def late():\n    from kcoro_ipc.cli import d\n")
    assert cycles(tmp_path) == ["cli.a", "cli.b", "cli.c"]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("core/arena.c", '#include "chan.h"', "core/arena.c includes core/chan, which does not"),
        ("core/arena.c", '#include "core/kc_chan.h"', "core/arena.c includes core/chan, which d"),
        ("core/chan_ack.c", '#include "kcoro/kc_turn.h"', "core/chan_ack.c includes kcoro/kc_turn"),
        (
            "core/chan.c",
            '#include "../ipc/pump.h"',
            "core/chan.c includes ipc/pump, which does not",
        ),
        ("ipc/frame.c", '#include "core/chan.h"', "ipc/frame.c includes core/chan, but ipc/frame"),
        ("core/oddity.c", "", "core/oddity.c: core/oddity has no row"),
        (
            "client/op.c",
            '#include "ipc/kc_conn.h"',
            "client/op.c includes ipc/conn, which no client may know",
        ),
        (
            "include/kcoro/kc_types.h",
            "#include <kcoro/kc_chan.h>",
            "include/kcoro/kc_types.h includes",
        ),
    ],
)
def test_the_native_checker_reports_a_planted_include(
    tmp_path: Path, name: str, text: str, fault: str
) -> None:
    for folder in ("core", "ipc", "client", "include/kcoro"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "core" / "chan.h").touch()
    (tmp_path / "core" / "chan.c").write_text('#include "chan.h"\n#include <kcoro/kc_chan.h>\n')
    (tmp_path / name).write_text(text)
    faults = list(native_faults(tmp_path))
    assert len(faults) == 1, faults
    assert faults[0].startswith(fault)
