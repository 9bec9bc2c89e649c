"""ls, stat, top, select, purge, completion, help: what a user sees of channels."""

import json
import os
import pwd
from typing import Any

import click
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from kcoro_ipc.cli.main import COMMANDS, ROWS
from kcoro_ipc.cli.main import kcoro as program
from kcoro_ipc.identity import group_name


def test_ls_shows_name_kind_and_capacity(kcoro: Any) -> None:
    name, other = kcoro.name(), kcoro.name()
    kcoro("make", name, "--capacity", "7")
    kcoro("make", other, "--kind", "unlimited")
    lines = kcoro("ls").stdout.decode().splitlines()
    assert lines[0].split() == ["NAME", "ID", "KIND", "CAPACITY"]
    rows = {line.split()[0]: line.split()[2:] for line in lines[1:]}
    assert (rows[name], rows[other]) == (["buffered", "7"], ["unlimited", "-"])
    objects = [json.loads(line) for line in kcoro("ls", "--json").stdout.splitlines()]
    found = next(one for one in objects if one["name"] == name)
    assert (found["kind"], found["capacity"]) == ("buffered", 7)
    assert (found["mode"], found["uid"], found["gid"]) == ("0600", os.getuid(), os.getgid())


def test_ls_long_shows_mode_owner_and_group_as_ls_of_files_does(kcoro: Any) -> None:
    name = kcoro.name()
    group = str(os.getgroups()[-1] if os.geteuid() else 12345)
    assert kcoro("make", name, "--mode", "0641", "--group", group).returncode == 0
    lines = kcoro("ls", "-l").stdout.decode().splitlines()
    assert lines[0].split() == ["MODE", "OWNER", "GROUP", "NAME", "ID", "KIND", "CAPACITY"]
    (row,) = [line.split() for line in lines if f" {name} " in line]
    owner = pwd.getpwuid(os.getuid()).pw_name
    assert row[:4] == ["rw-r----x", owner, group_name(int(group)), name]


def test_chmod_and_chown_change_what_ls_shows(kcoro: Any) -> None:
    names = [kcoro.name(), kcoro.name()]
    for name in names:
        kcoro("make", name)
    group = str(os.getgroups()[-1] if os.geteuid() else 12345)
    assert kcoro("chmod", "0754", *names).returncode == 0
    assert kcoro("chown", f":{group}", *names).returncode == 0
    objects = [json.loads(line) for line in kcoro("ls", "--json").stdout.splitlines()]
    found = [(one["mode"], one["uid"], one["gid"]) for one in objects if one["name"] in names]
    assert found == [("0754", os.getuid(), int(group))] * 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("chmod", "9", "NAME"), 2, "octal digits"),
        (("chown", ":", "NAME"), 2, "names nobody"),
        (("chown", "no such user", "NAME"), 2, "there is no user"),
        (("chmod", "0600", "absent-channel"), 8, "no such channel"),
    ],
)
def test_chmod_and_chown_say_what_is_wrong(
    kcoro: Any, words: tuple[str, ...], code: int, says: str
) -> None:
    finished = kcoro(*words)
    assert finished.returncode == code
    assert says in finished.stderr.decode()


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--owner", "no such user", "there is no user 'no such user' on this machine"),
        ("--group", "no such group", "there is no group 'no such group' on this machine"),
        ("--owner", "4294967295", "is no number of a user"),
        ("--mode", "888", "octal digits"),
    ],
)
def test_make_refuses_who_and_what_does_not_exist(
    kcoro: Any, option: str, value: str, says: str
) -> None:
    finished = kcoro("make", kcoro.name(), option, value)
    assert finished.returncode == 2
    assert says in finished.stderr.decode()


def test_stat_counts_what_went_through(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    kcoro("send", name, "abc", "de", "f")
    kcoro("recv", name, "--count", "2")
    counted = json.loads(kcoro("stat", name, "--json").stdout)
    wanted = {"name": name, "kind": "buffered", "total_sends": 3, "acks": 2, "depth": 1, "bytes": 1}
    assert {key: counted[key] for key in wanted} == wanted
    line = kcoro("stat", name, "--line").stdout.decode()
    assert line.startswith(f"chan={name} kind=buffered cap=4 policy=suspend depth=1 ready=1 held=0")
    assert line.count("\n") == 1
    assert "total_sends" in kcoro("stat", name).stdout.decode()


def test_stat_tells_who_waits(kcoro: Any) -> None:
    name = kcoro.name()
    waiting = kcoro.start("send", name, "x")
    kcoro.until_waiting(name, "senders")
    told = json.loads(kcoro("stat", name, "--json", "--waiters").stdout)["waiters"]
    assert [(one["side"], one["pid"], one["client"]) for one in told] == [
        ("send", waiting.pid, "kcoro send")
    ]
    assert told[0]["age_ns"] > 0
    text = kcoro("stat", name, "--waiters").stdout.decode()
    assert f"pid {waiting.pid}" in text


def test_metrics_prints_what_a_scraper_reads(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    kcoro("send", name, "a", "b")
    text = kcoro("metrics").stdout.decode()
    found = {
        (sample.name, sample.labels.get("name")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["kcoro_channel_sends_total", name] == 2
    assert found["kcoro_channel_depth", name] == 2
    assert text.endswith("# EOF\n")


def test_metrics_is_quiet_when_nobody_reads_on(kcoro: Any) -> None:
    shown = kcoro.start("metrics")
    shown.stdout.close()
    assert shown.wait() in (0, 141)  # all of it may have gone out before
    assert shown.stderr.read() == b""


def test_top_keeps_no_channel_alive(kcoro: Any) -> None:
    name = kcoro.name()
    waiting = kcoro.start("recv", name)
    kcoro.until_waiting(name, "receivers")
    watching = kcoro.start("top", "--json", "--interval", "0.05")
    assert watching.stdout.readline()
    waiting.kill()
    waiting.wait()
    while json.loads(watching.stdout.readline())["name"] == name:
        pass
    assert kcoro("stat", name).returncode == 8


def test_select_receives_or_sends_whatever_can_happen(kcoro: Any) -> None:
    first, second = kcoro.name(), kcoro.name()
    kcoro("make", first, "--capacity", "1")
    kcoro("make", second, "--capacity", "1")
    words = ("select", first, "--send", f"{second}=out=1", "--json")
    sent = json.loads(kcoro(*words).stdout)
    assert sent == {"index": 1, "channel": second, "op": "send"}
    kcoro("send", first, "in")
    received = json.loads(kcoro(*words).stdout)
    assert received == {
        "index": 0,
        "channel": first,
        "op": "receive",
        "data": "in",
        "redelivered": False,
        "attempts": 0,
    }
    assert kcoro("select", first, second).stdout == f"{second}\tout=1\n".encode()
    assert kcoro("select", first, second, "--try").returncode == 3


def test_select_says_which_clause_was_closed(kcoro: Any) -> None:
    first, second = kcoro.name(), kcoro.name()
    kcoro("make", first)
    kcoro("make", second)
    kcoro("close", second)
    finished = kcoro("select", first, second)
    assert finished.returncode == 5
    assert b"index 1" in finished.stderr


def test_of_several_channels_those_that_fail_are_said_and_the_others_done(kcoro: Any) -> None:
    first, second, absent = kcoro.name(), kcoro.name(), kcoro.name()
    for name in (first, second):
        kcoro("make", name, "--capacity", "3")
        kcoro("send", name, "a", "b")
    for command, said in (("purge", b"2\n2\n"), ("close", b""), ("destroy", b"")):
        finished = kcoro(command, first, absent, f"{absent}/", second)
        assert (finished.returncode, finished.stdout) == (8, said)
        lines = finished.stderr.decode().splitlines()
        assert len(lines) == 2
        assert lines[0].startswith(f"kcoro: channel {absent}: there is no such channel")
        assert lines[1].startswith(f"kcoro: channel {absent}/: ")
    assert kcoro("purge", f"{absent}/", absent).returncode == 2
    assert kcoro("stat", first).returncode == kcoro("stat", second).returncode == 8


def test_purge_says_how_many_it_dropped(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    kcoro("send", name, "a", "b", "c")
    assert kcoro("purge", name).stdout == b"3\n"
    assert kcoro("recv", name, "--try").returncode == 3


def test_words_of_make_may_be_spelled_with_hyphens_or_underscores(kcoro: Any) -> None:
    name = kcoro.name()
    assert kcoro("make", name, "--capacity", "1", "--overflow", "drop_oldest").returncode == 0
    assert kcoro("make", name, "--capacity", "1", "--overflow", "drop-oldest").returncode == 0
    kcoro("send", name, "old", "new")
    assert kcoro("recv", name).stdout == b"new\n"
    assert json.loads(kcoro("stat", name, "--json").stdout)["drops_oldest"] == 1


def test_making_with_close_on_last_sender_closes_after_the_sender_not_after_make(
    kcoro: Any,
) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4", "--close-on-last-sender")
    kcoro("send", name, "a", "b")
    assert kcoro("recv", name, "--follow").stdout == b"a\nb\n"


def test_ack_required_refuses_plain_receives_and_recv_is_none(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "1", "--ack-required")
    kcoro("send", name, "a")
    assert kcoro("recv", name).stdout == b"a\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_names_of_channels(kcoro: Any, shell: str) -> None:
    name = kcoro.name()
    kcoro("make", name)
    script = kcoro("completion", shell)
    assert script.returncode == 0
    assert b"_KCORO_COMPLETE" in script.stdout
    typed = f"kcoro recv {name[:10]}"
    asked = {"_KCORO_COMPLETE": f"{shell}_complete", "COMP_WORDS": typed}
    asked["COMP_CWORD"] = name[:10] if shell == "fish" else "2"
    assert name in kcoro(**asked).stdout.decode()
    if shell != "fish":
        asked |= {
            "COMP_WORDS": f"kcoro --socket {kcoro.socket} recv {name[:10]}",
            "COMP_CWORD": "4",
        }
        assert name in kcoro(**asked, KCORO_SOCKET="/nowhere/kcoro.sock").stdout.decode()
        asked |= {"COMP_WORDS": typed, "COMP_CWORD": "2"}
    nobody = kcoro(**asked, KCORO_SOCKET="/nowhere/kcoro.sock")
    assert (nobody.returncode, nobody.stdout.strip(), nobody.stderr) == (0, b"", b"")


GROUPS = {"config": ("check", "show"), "service": ("install", "uninstall", "status")}
PAGES = [
    "",
    *COMMANDS,
    *(f"{group} {name}" for group, names in GROUPS.items() for name in names),
]


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize("page", PAGES)
def test_help_fits_a_screen_of_80_by_24_with_the_prompt_and_names_the_program(
    kcoro: Any, page: str, columns: str
) -> None:
    finished = kcoro(*page.split(), "--help" if page == "bench" else "-h", COLUMNS=columns)
    assert finished.returncode == 0
    lines = finished.stdout.decode().splitlines()
    assert len(lines) <= 23
    if page != "bench":  # its own parser, of a source checkout, takes a wider screen
        assert max(map(len, lines)) < 80
        assert lines[0].startswith(f"Usage: kcoro {page}".rstrip())


def test_every_option_is_in_its_help_and_every_command_in_that_of_the_program(kcoro: Any) -> None:
    listed = [name for names, _ in ROWS for name in names.split(", ")]
    assert sorted(listed) == sorted(COMMANDS)
    context = click.Context(program)
    for name in set(COMMANDS) - {"bench"}:
        command = program.get_command(context, name)
        assert command is not None
        said = kcoro(name, "-h").stdout.decode()
        named = {word.strip(",") for word in said.split()}
        for option in command.params:
            if isinstance(option, click.Option) and "--quiet" not in option.opts:
                assert set(option.opts) & named, (name, option.opts)


def test_version(kcoro: Any) -> None:
    from kcoro_ipc import __version__

    assert kcoro("--version").stdout.decode() == f"kcoro {__version__}\n"
