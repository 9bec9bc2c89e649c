"""What the documentation says about the repository, held against the repository.

Files and links it names exist, tables agree with the code they describe, and what is generated is
up to date. Commands are run by tests/e2e/test_docs_commands.py.
"""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from kcoro_ipc import _wire
from kcoro_ipc.exposition import CHANNELS, DAEMON, USERS, Family, Group
from kcoro_ipc.metrics import COUNTERS, GAUGES, NOT_MEASURES
from kcoro_ipc.quotas import Limits

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
LINKED = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
# A path in backticks that begins with one of our folders; what follows a file's name is not its.
FOLDERS = r"kcoro_ipc|native|docs|tests|tools|bench"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchor(heading: str) -> str:
    """As the usual renderers make it from a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {anchor(heading) for heading in headings}


def broken_links(path: Path) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        name, _, fragment = target.partition("#")
        goal = path.parent / name if name else path
        if not goal.exists():
            yield f"{target}: no such file"
        elif fragment and fragment not in anchors(goal.read_text(encoding="utf-8")):
            yield f"{target}: no such heading"


def section(text: str, heading: str) -> str:
    """From that heading to the next of the same or a higher level."""
    level = heading.split(" ")[0]
    body = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", body, maxsplit=1, flags=re.MULTILINE)[0]


def table_rows(text: str) -> list[list[str]]:
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("| ")]
    return [re.split(r" *\| *", line) for line in lines if not set(line) <= set("-| ")]


def backticked(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# --- every page ---


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    assert list(broken_links(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_every_file_named_in_a_page_exists(path: Path) -> None:
    named = NAMED.findall(path.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_every_make_target_named_in_a_page_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+(?: [a-z0-9-]+)*):", page("Makefile"), re.MULTILINE))
    known = {word for line in targets for word in line.split()}
    named = set(re.findall(r"(?:`|^ {4}|^\$ |&& )make ([a-z][a-z0-9-]*)", path.read_text(), re.M))
    assert named - known == set()


def test_the_checker_of_links_reports_planted_faults(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One heading\n")
    (tmp_path / "a.md").write_text(
        "# Top\n[x](b.md) [x](b.md#one-heading) [x](#top) [x](c.md) [x](b.md#two) [x](#one)\n"
        "```\n[x](nowhere.md)\n```\n"
    )
    assert list(broken_links(tmp_path / "a.md")) == [
        "c.md: no such file",
        "b.md#two: no such heading",
        "#one: no such heading",
    ]


# --- the contract ---


def contract_numbers() -> set[str]:
    return set(re.findall(r"^### (4\.\d+) ", page("docs/ARCHITECTURE.md"), re.MULTILINE))


def test_the_contract_has_its_nineteen_paragraphs() -> None:
    assert contract_numbers() == {f"4.{n}" for n in range(1, 20)}


def test_every_quoted_contract_number_is_a_paragraph_of_the_contract() -> None:
    listed = subprocess.run(
        ["git", "grep", "-hoIE", r"contract 4\.[0-9]+(( to|,| and) 4\.[0-9]+)*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    quoted = set(re.findall(r"4\.\d+", listed))
    assert quoted, "nothing quotes the contract: is this a git checkout?"
    assert quoted - contract_numbers() == set()


# --- rules and the tests that hold them ---

# Tables between `<!-- name -->` and `<!-- /name -->` whose last column is "tested by".
RULES = {
    "docs/ZERO_COPY.md": ("ownership", "files", "safety"),
    "docs/THREATS.md": ("users", "namespaces", "same", "payloads", "deaths", "places"),
}
TEST = re.compile(r"^\s*(?:async )?def (test_\w+)\(|^KC_TEST\((\w+)\)", re.MULTILINE)


def names_of_tests() -> set[str]:
    sources = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "tests").rglob("test_*.c")]
    found = [TEST.findall(path.read_text(encoding="utf-8")) for path in sources]
    return {python or native for pairs in found for python, native in pairs}


def table_between_marks(name: str, table: str) -> list[list[str]]:
    text = page(name).split(f"<!-- {table} -->")[1].split(f"<!-- /{table} -->")[0]
    return table_rows(text)


@pytest.mark.parametrize(("name", "table"), [(n, t) for n, tables in RULES.items() for t in tables])
def test_every_rule_of_a_table_names_tests_and_they_exist(name: str, table: str) -> None:
    head, *rows = table_between_marks(name, table)
    assert head[-1] == "tested by"
    assert len(rows) >= (10 if name == "docs/ZERO_COPY.md" else 2)
    named = {row[0]: backticked(row[-1]) for row in rows}
    assert [rule for rule, tests in named.items() if not tests] == []
    assert {test for tests in named.values() for test in tests} - names_of_tests() == set()


@pytest.mark.parametrize("name", RULES)
def test_every_table_of_rules_is_looked_at(name: str) -> None:
    assert tuple(re.findall(r"^<!-- /(\w+) -->$", page(name), re.MULTILINE)) == RULES[name]
    assert page(name).count("| tested by |") == len(RULES[name])


def test_the_limits_of_zero_copy_are_those_of_the_program() -> None:
    from kcoro_ipc.regions import POOL_BYTES

    text = section(page("docs/ZERO_COPY.md"), "## Limits")
    shown = {row[0].strip("`"): row[1] for row in table_rows(text)[1:]}
    limits = {name: number(shown[name]) for name in shown if hasattr(Limits, name)}
    assert limits == {name: getattr(Limits(), name) for name in limits}
    assert len(limits) == 5
    assert number(shown["files of a message"]) == _wire.MAX_MESSAGE_FILES
    assert number(shown["pool_bytes` of `open_client"]) == POOL_BYTES
    assert number(shown["elem_size"]) == _wire.MAX_ELEMENT_BYTES
    header = page("native/ipc/kc_conn_handles.h")
    assert f"KC_CONN_LEASES = {number(shown['leases of a connection'])} " in header


# --- tables that describe code ---


def number(text: str) -> int:
    """`65,536`, `256 MiB`, `8 GiB`."""
    match = re.match(r"([\d,]+)(?: ([MG])iB)?", text)
    assert match is not None, text
    scale = {None: 1, "M": 1 << 20, "G": 1 << 30}[match[2]]
    return int(match[1].replace(",", "")) * scale


def test_the_quotas_in_the_architecture_are_those_of_the_daemon() -> None:
    rows = table_rows(section(page("docs/ARCHITECTURE.md"), "## 5. Quotas"))[1:]
    shown = {backticked(name)[0]: number(default) for name, default, _ in rows}
    assert shown == {field.name: field.default for field in fields(Limits)}


def test_every_counter_is_described_once_and_nothing_else_is() -> None:
    text = page("docs/CHANNEL_METRICS.md")
    before_laws = text.split("\n## Conservation\n")[0]
    described = [name for row in table_rows(before_laws) for name in backticked(row[0])]
    assert sorted(described) == sorted(set(described))
    others = set(backticked(section(text, "## Others"))) & set(_wire.STAT_NAMES)
    assert set(described) | others == set(_wire.STAT_NAMES)
    assert set(described) & others == set()


def test_gauges_and_counters_are_called_so() -> None:
    rows = table_rows(page("docs/CHANNEL_METRICS.md").split("\n## OpenMetrics\n")[0])
    sorts = {name: row[1] for row in rows if len(row) == 4 for name in backticked(row[0])}
    assert {name for name, sort in sorts.items() if sort == "gauge"} == set(GAUGES)
    counters = {name for name, sort in sorts.items() if sort == "counter"}
    assert counters <= set(COUNTERS)
    assert not NOT_MEASURES & set(sorts)


def family_rows(group: Group) -> list[list[str]]:
    """Name, type, unit and help of each family, as the page is to show them."""
    return [
        [f"`{one.name}`", one.type, one.unit, one.help.removesuffix(".")] for one in group.families
    ]


def further_labels(family: Family) -> set[str]:
    return {part.split("=")[0] for more, _ in family.samples for part in more.split(",") if part}


@pytest.mark.parametrize(
    ("heading", "group", "own"),
    [
        ("### Of channels", CHANNELS, {"name", "uid"}),
        ("### Of users", USERS, {"uid"}),
        ("### Of the daemon", DAEMON, set()),
    ],
)
def test_the_families_of_the_page_are_those_that_are_told(
    heading: str, group: Group, own: set[str]
) -> None:
    rows = table_rows(section(page("docs/CHANNEL_METRICS.md"), heading))[1:]
    assert [[*row[:3], row[4]] for row in rows] == family_rows(group)
    for row, family in zip(rows, group.families, strict=True):
        assert set(backticked(row[3])) == own | further_labels(family)


def test_the_kinds_of_the_contract_have_the_numbers_of_the_wire() -> None:
    rows = table_rows(section(page("docs/ARCHITECTURE.md"), "### 4.3 Kinds"))[1:]
    assert {name: int(value) for name, value, _ in rows} == {
        name: getattr(_wire, f"KIND_{name.upper()}")
        for name in ("rendezvous", "buffered", "conflated", "unlimited")
    }


def test_the_tree_in_the_architecture_names_every_module() -> None:
    tree = section(page("docs/ARCHITECTURE.md"), "## 3. The tree")
    inside = tree.split("kcoro_ipc/\n", 1)[1].split("native/\n", 1)[0]
    names = re.findall(r"(?<= )[a-z_]+(?:\.py|/)", inside)
    modules = {path.name for path in (ROOT / "kcoro_ipc").glob("*.py")}
    packages = {f"{path.parent.name}/" for path in (ROOT / "kcoro_ipc").glob("*/__init__.py")}
    assert sorted(names) == sorted((modules | packages) - {"__init__.py", "__main__.py"})


def test_every_decision_is_in_the_index_under_its_own_title() -> None:
    records = {
        path.name: path.read_text(encoding="utf-8").splitlines()[0]
        for path in (ROOT / "docs/decisions").glob("[0-9]*.md")
    }
    rows = table_rows(page("docs/decisions/README.md"))[1:]
    listed = {target: title for row in rows for title, target in LINKED.findall(row[1])}
    assert set(listed) == set(records)
    numbers = [name[:4] for name in records]
    assert len(numbers) == len(set(numbers)), "two decisions have one number"


# --- generated parts ---


@pytest.mark.parametrize("tool", ["gen_wire.py", "gen_states.py", "gen_man.py"])
def test_generated_tables_are_up_to_date(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / tool, "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_step_of_the_engine_is_missing_from_its_page() -> None:
    header = page("native/core/kc_state.h")
    allowed = re.findall(r"^ +X\((\w+), (\w+),", header, re.MULTILINE)
    rows = table_rows(section(page("docs/CHANNELS_ALGORITHM.md"), "## States and steps"))
    shown = [(row[0], row[1]) for row in rows if row[0] != "from"]
    assert len(allowed) > 30
    assert shown == allowed


# --- the command line ---


def commands() -> dict[str, click.Command]:
    from kcoro_ipc.cli.main import COMMANDS, kcoro

    context = click.Context(kcoro)
    found = {name: kcoro.get_command(context, name) for name in COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


def options(command: click.Command) -> set[str]:
    """Its own and those of its sub-commands."""
    every = set()
    if isinstance(command, click.Group):
        every |= {word for one in command.commands.values() for word in options(one)}
    params = (param for param in command.params if isinstance(param, click.Option))
    every |= {
        word
        for option in params
        if not option.hidden
        for word in (*option.opts, *option.secondary_opts)
    }
    return {word for word in every if word.startswith("--")}


def test_every_command_and_option_is_described_and_nothing_else_is() -> None:
    text = FENCE.sub("", page("docs/CLI.md"))
    headings = re.findall(r"^### kcoro ([a-z]+)$", text, re.MULTILINE)
    assert sorted(headings) == sorted(commands())
    common = {"--socket", "--quiet"}
    for name, command in commands().items():
        described = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section(text, f"### kcoro {name}")))
        assert described - common - {"--help"} == options(command) - common, name


def test_the_exit_codes_of_the_page_are_those_of_the_program() -> None:
    from kcoro_ipc.cli import exits

    rows = table_rows(section(page("docs/CLI.md"), "## Exit codes"))[1:]
    numbers = {value for value in vars(exits).values() if isinstance(value, int)}
    assert {int(row[0]) for row in rows} == numbers


# --- the Python interfaces ---

# Public for the client's other files, not for its users.
PLUMBING = {
    "selected",
    "take_kept",
    "check_usable",
    "client_connection",
    "give_back",
    "give_back_late",
    "has_kept",
    "job",
    "jobs",
    "keep",
    "open_jobs",
}


def names_in(text: str) -> set[str]:
    """`send(value)`, `data`: what stands in backticks in the first column, without arguments."""
    cells = [row[0] for row in table_rows(text)[1:]]
    return {name.split("(")[0] for cell in cells for name in backticked(cell)}


def public_methods(cls: type) -> set[str]:
    return {
        name
        for name in dir(cls)
        if not name.startswith("_") and callable(getattr(cls, name)) and name not in PLUMBING
    }


@pytest.mark.parametrize("module", ["kcoro_ipc.client", "kcoro_ipc.blocking"])
def test_every_method_of_the_clients_is_described_and_nothing_else_is(module: str) -> None:
    text = page("docs/API.md")
    loaded = importlib.import_module(module)
    described = {
        "Client": names_in(section(text, "## Clients").split("Options of a channel")[0]),
        "Channel": names_in(section(text, "## Channels")),
    }
    inbox, job = section(text, "## Acknowledging").split("| of Job |")
    described |= {"Inbox": names_in(inbox), "Job": names_in("| of Job |" + job)}
    for name, said in described.items():
        methods = public_methods(getattr(loaded, name))
        assert said - {"data", "redelivered", "attempts", "sender"} == methods, name


def test_every_method_of_the_engine_is_described() -> None:
    from kcoro_ipc.engine import Engine

    said = names_in(section(page("docs/API.md"), "## Inside one process"))
    assert said - {"open_memory_channel"} == public_methods(Engine)
    with Engine() as engine:
        assert callable(engine.open_memory_channel)


def test_every_option_of_a_channel_is_described() -> None:
    from kcoro_ipc.protocol.channels import ChannelOptions

    text = section(page("docs/API.md"), "## Clients").split("Options of a channel")[1]
    rows = table_rows(text)[1:]
    assert {name for row in rows for name in backticked(row[0])} == set(
        ChannelOptions.__annotations__
    )


def test_every_exception_in_the_table_of_errors_exists_and_is_trios_where_it_says_so() -> None:
    import trio

    from kcoro_ipc import errors, trio_errors

    rows = table_rows(section(page("docs/API.md"), "## Errors"))[1:]
    for row in rows:
        for name in backticked(row[0]):
            assert issubclass(getattr(errors, name), errors.KcoroError)
            base = {"": None, "yes": name}.get(row[1], row[1].strip("`"))
            if base is not None:
                assert issubclass(getattr(trio_errors, name), getattr(trio, base))
