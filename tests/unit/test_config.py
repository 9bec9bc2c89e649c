"""kcoro.toml: what each mistake is called, what comes of a good file, and the sample."""

import json
import os
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc import _wire
from kcoro_ipc.access import ALL, MAKE, SEND, Rule
from kcoro_ipc.config import Reading, parse_config, read_config, usual_path
from kcoro_ipc.config_forms import (
    LISTS,
    TABLES,
    Config,
    ConfigError,
    Declared,
    Top,
    UnreadableConfig,
    with_options,
)
from kcoro_ipc.config_shown import shown_config, toml
from kcoro_ipc.quotas import Limits, amount, is_fixed, mode_bits
from kcoro_ipc.records import Owner, Settings
from kcoro_ipc.strict import keys
from kcoro_ipc.transport import SYSTEM_MODE

SAMPLE = Path(__file__).resolve().parents[2] / "kcoro_ipc/kcoro.toml"


def parsed(text: str) -> Config:
    return parse_config(text.encode(), "k.toml")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    return caught.value.lines()


def channel(keys: str) -> str:
    return f'[[channel]]\nname = "a"\n{keys}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log_leve = 1", "log_leve: no such key; did you mean log_level?"),
        ("[chanels]", "chanels: no such key; did you mean channel?"),
        ('log_level = "loud"', "log_level: 'loud' is not possible; choose debug, info, warning or"),
        ("log_level = 3", "log_level: must be a text in quotes, not 3"),
        ('listen = "/run/x"', "listen: must be a list in brackets, not '/run/x'"),
        ("listen = [3]", "listen[0]: must be a text in quotes, not 3"),
        ('listen = ["/a", "tcp:/b"]', "listen[1]: 'tcp:/b': a transport is stream or seqpacket"),
        ('listen = ["run/x"]', "listen[0]: 'run/x' is no absolute path"),
        ("socket_mode = 660", "socket_mode: 660 is no mode; give octal digits in quotes, as in"),
        ('socket_mode = "0999"', "socket_mode: '0999' is no mode; give octal digits"),
        ('socket_group = "no one here"', "socket_group: there is no group 'no one here' on this"),
        ("socket_group = true", "socket_group: must be a name in quotes or a number, not True"),
        ("socket_group = -1", "socket_group: -1 is no number of a group"),
        ("drain = -1", "drain: must be a number of seconds, 49 days at most, not -1"),
        ("drain = nan", "drain: must be a number of seconds, 49 days at most, not nan"),
        ("drain = true", "drain: must be a number of seconds, 49 days at most, not True"),
        ('io = ["trio"]', "io: must be a text in quotes, not ['trio']"),
        ('metrics = "rel"', "metrics: 'rel' is no absolute path"),
        ('metrics = ""', "metrics: '' is no absolute path"),
        ("limits = 3", "limits: must be a table, not 3"),
        ("[limits]\nwishes = 3", "limits.wishes: no such key; there are connections_per_uid, "),
        ("[limits]\nbytes = 0", "limits.bytes: 0 is no whole number from 1 on; it may end in K"),
        ('[limits]\nbytes = "9X"', "limits.bytes: '9X' is no whole number; it may end"),
        ("[limits]\nbytes = 1.5", "limits.bytes: 1.5 is no whole number; it may end"),
        ('[limits]\ntokens = "4G"', "limits.tokens: 4294967296 is over 4294967295"),
        ("[access]\nallow_unmapped = 1", "access.allow_unmapped: must be true or false, not 1"),
        ('[access]\nadmin_group = "no-such"', "access.admin_group: there is no group 'no-such'"),
        ('[access]\nadmin_group = "kcoro-admin"', "access.admin_group: there is no group 'kcoro-"),
        ("[channel]\nname = 'a'", "channel: write [[channel]] before the keys of each"),
        ("[[channel]]", "channel[0].name: is missing"),
        ("[[channel]]\nname = 3", "channel[0].name: must be a text in quotes, not 3"),
        ("[[channel]]\nname = 'a/b'", "channel[0].name: 'a/b': a channel's name has 1 to 255"),
        (f"[[channel]]\nname = '{'x' * 256}'", "channel[0].name: 'xxx"),
        (channel("kind = 'bufered'"), "channel[0].kind: 'bufered' is not possible; choose rendez"),
        (channel("kind = 'broadcast'"), "channel[0].kind: 'broadcast' is not possible; choose"),
        (channel("kind = 'buffered'"), "channel[0].capacity: capacity is 1 to 1048576, not 0"),
        (channel("capacity = -1"), "channel[0].capacity: capacity is 1 to 1048576, not -1"),
        (channel("capacity = '4'"), "channel[0].capacity: must be a whole number, not '4'"),
        (
            channel("capacity = 4\nkind = 'unlimited'"),
            "channel[0].capacity: capacity is for buffered channels, this one is unlimited",
        ),
        (
            channel("overflow = 'drop_oldest'"),
            "channel[0].overflow: overflow is for buffered channels, this one is rendezvous",
        ),
        (
            channel("kind = 'conflated'\nack = 'required'"),
            "channel[0]: a conflated channel has no acknowledgements",
        ),
        (channel("owner = 'no one here'"), "channel[0].owner: there is no user 'no one here' on"),
        (channel("group = 4294967295"), "channel[0].group: 4294967295 is no number of a group"),
        (channel("mode = 0o660"), "channel[0].mode: 432 is no mode; give octal digits in quotes"),
        (channel("max_attempts = 64"), "channel[0].max_attempts: must be a whole number <= 63"),
        (channel("elem_size = '17M'"), "channel[0].elem_size: elem_size is 1 to 16777216, not 17"),
        (channel("max_bytes = 99999999999999999999"), "channel[0].max_bytes: 9999999999999999999"),
        (channel("file_ttl = 9999999"), "channel[0].file_ttl: must be a number of seconds, 49"),
        (channel("undelivered = 'dead_letter'"), "channel[0].undelivered: undelivered says dead"),
        (channel("dead_letter = 'b'"), "channel[0].dead_letter: 'b' is not declared; add a [["),
        (channel("dead_letter = 'a'"), "channel[0].dead_letter: 'a' must be unlimited, it is ren"),
        (
            channel("dead_letter = 'b'") + "[[channel]]\nname = 'b'\ncapacity = 3",
            "channel[0].dead_letter: 'b' must be unlimited, it is buffered",
        ),
        (channel("ttl = 0"), "channel[0].ttl: must be 0.001 s at least, not 0; leave it out for"),
        (channel("file_ttl = 0.0"), "channel[0].file_ttl: must be 0.001 s at least, not 0.0"),
        (channel("max_bytes = 0"), "channel[0].max_bytes: 0 is no whole number from 1 on"),
        (
            channel("dead_letter = 'b'")
            + "[[channel]]\nname = 'b'\nkind = 'unlimited'\nelem_size = 8",
            "channel[0].dead_letter: 'b' must take messages of up to 16777216 bytes",
        ),
        (channel("") + channel(""), "channel[1].name: 'a' is declared by channel[0]"),
        ("[limits]\nchannels = 1\n" + channel("") + "[[channel]]\nname = 'b'", "channel: 2 chann"),
        ("[[rule]]", "rule[0]: give either allow or deny, a list of make, send, receive, see or"),
        ("[[rule]]\nallow = ['see']\ndeny = ['see']", "rule[0]: give either allow or deny"),
        ("[[rule]]\ndeny = 'see'", "rule[0].deny: must be a list in brackets, not 'see'"),
        ("[[rule]]\ndeny = ['sea']", "rule[0].deny[0]: 'sea' is not possible; choose make, send"),
        ("[[rule]]\ndeny = ['see']\nusers = ['no one here']", "rule[0].users[0]: there is no user"),
        ("[[rule]]\ndeny = ['see']\nusers = [1.5]", "rule[0].users[0]: must be a name in quotes"),
        ("[[rule]]\ndeny = ['see']\nname = 'a/*'", "rule[0].name: 'a/*' fits no name: none has"),
        ("[[rule]]\ndeny = ['see']\nname = 'a[b'", "rule[0].name: 'a[b' has a [ that no ] closes"),
        (
            "drain 3",
            "is no TOML: Expected '=' after a key in a key/value pair (at line 1, column 7",
        ),
    ],
)
def test_a_mistake_is_told_with_file_key_value_and_what_may_stand_there(
    text: str, said: str
) -> None:
    (line,) = problems(text)
    assert line.startswith(f"k.toml: {said}")


def test_mistakes_in_several_tables_are_told_at_once() -> None:
    text = "drain = -1\n[limits]\nbytes = 0\n" + channel("mode = 1") + "[[rule]]\n[[rule]]\n"
    paths = [line.split(": ")[1] for line in problems(text)]
    assert paths == ["drain", "limits.bytes", "rule[0]", "rule[1]", "channel[0].mode"]


@given(st.binary(max_size=60))
def test_any_bytes_are_a_config_or_a_config_error(data: bytes) -> None:
    try:
        assert isinstance(parse_config(data, "k.toml"), Config)
    except ConfigError as error:
        assert error.problems


# Every shape that TOML has, among them the extreme ones of each.
SHAPES = (
    *("5", "0", "-1", "0x7fffffffffffffff", f"0x{'f' * 5000}", "9" * 5000),
    *("true", "false", "1.5", "1e300", "inf", "nan", '""', '"x"', '"\\u0000"', f'"{"x" * 5000}"'),
    *("[]", "[1]", '["x"]', '["all"]', "[[]]", "[{}]", "{}", "{x = 1}", '{name = "x"}'),
    *("1979-05-27", "07:32:00", "1979-05-27T07:32:00", "1979-05-27T07:32:00Z"),
)
PLACES = [
    *(f"{key} = {{}}" for key in (*keys(Top), *TABLES, *LISTS)),
    *(f"{key} = [{{}}]" for key in (*keys(Top), *TABLES, *LISTS)),
    *(f"[{table}]\n{key} = {{}}" for table, form in TABLES.items() for key in keys(form)),
    *(
        f"[[{table}]]\n{required}{key} = {{}}"
        for table, form in LISTS.items()
        for key in keys(form)
        for required in {"", 'name = "x"\n' if key != "name" else ""}
    ),
]


@pytest.mark.parametrize("place", PLACES)
def test_every_shape_at_every_place_is_a_config_or_a_config_error(place: str) -> None:
    for shape in SHAPES:
        text = place.replace("{}", shape, 1)
        try:
            parsed(text)
        except ConfigError as error:
            assert error.problems, text[:80]
        except Exception as error:
            raise AssertionError(f"{text[:80]}: {error!r}") from error


@pytest.mark.parametrize("shape", ["5", "true", "[]", '"x"', "1979-05-27"])
def test_a_table_that_is_none_is_told_as_one(shape: str) -> None:
    for table in TABLES:
        (line,) = problems(f"{table} = {shape}")
        assert line.startswith(f"k.toml: {table}: must be a table, not ")


def test_a_deeply_nested_file_is_a_config_error() -> None:
    assert "k.toml: " in problems("x = " + "[" * 100_000)[0]


# --- what is shown ---

SHOWN = (
    "",
    'listen = ["/a\\u007f\\n\\"", "seqpacket:/b"]\nsocket_mode = "0660"\n'
    'socket_group = 5\nio = "thread"\n'
    'metrics = "/run/m.sock"\ndrain = 0\nlog_level = "error"\n[access]\nadmin_group = "30001"\n'
    'allow_unmapped = true\n[limits]\nbytes = "1G"\nframes_per_second_per_uid = 7\n',
    channel(
        'capacity = 4\nundelivered = "drop"\noverflow = "drop_newest"\nfixed_size = true\n'
        'elem_size = 8\nack = "required"\nttl = 0.07\nfile_ttl = 4294967.295\nmax_bytes = "1K"'
    ),
    channel('dead_letter = "b"') + "[[channel]]\nname = 'b'\nkind = 'unlimited'\n",
    channel('dead_letter = "b"\nmax_attempts = 3\nmax_bytes = "64M"')
    + "[[channel]]\nname = 'b'\nkind = 'unlimited'\nowner = 7\nmode = '0777'\n",
    "[[channel]]\nname = 'c'\nkind = 'conflated'\nundelivered = 'requeue'\n",
    "[[rule]]\nallow = ['all']\nname = 'a*'\nusers = [7, 3]\n"
    "[[rule]]\ndeny = ['make', 'see']\ngroups = [5]\n",
)


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_shown_is_a_file_that_says_the_same(text: str) -> None:
    config = parsed(text)
    shown = shown_config(config)
    assert parsed("\n".join(toml(shown))) == config
    assert Reading("k.toml", json.loads(json.dumps(shown))).config("k.toml") == config


def test_what_is_shown_has_the_keys_of_the_file() -> None:
    shown = shown_config(parsed(channel("") + "[[rule]]\ndeny = ['see']\n"))
    assert set(shown) == {*keys(Top), *TABLES, *LISTS}
    for name, form in TABLES.items():
        assert set(shown[name]) == set(keys(form))
    assert set(shown["channel"][0]) == set(keys(LISTS["channel"]))
    assert set(shown["rule"][0]) == set(keys(LISTS["rule"])) - {"allow"}


# --- what comes of a good file ---


def test_an_empty_file_is_the_defaults() -> None:
    assert parsed("") == Config(path="k.toml")
    assert Config() == Config(limits=Limits())


def test_names_and_amounts_become_numbers() -> None:
    found = parsed(
        'listen = ["/a", "seqpacket:/b"]\nsocket_mode = "0660"\nsocket_group = "root"\n'
        'log_level = "error"\ndrain = 0.5\nio = "thread"\n'
        '[limits]\nbytes_per_uid = "1M"\n[access]\nadmin_group = "root"\nallow_unmapped = true\n'
    )
    assert found.listen == ("/a", "seqpacket:/b")
    assert (found.socket_mode, found.socket_group) == (0o660, 0)
    assert (found.log_level, found.drain, found.io) == ("error", 0.5, "thread")
    assert found.limits == Limits(bytes_per_uid=1 << 20)
    assert (found.policy.admin_gid, found.policy.allow_unmapped) == (0, True)


def test_a_declared_channel_has_the_settings_of_one_that_is_made() -> None:
    found = parsed(
        '[[channel]]\nname = "jobs"\ncapacity = 5\nowner = 7\ngroup = "root"\nmode = "0640"\n'
        'overflow = "drop_oldest"\nack = "required"\ndead_letter = "failed"\nmax_attempts = 3\n'
        'max_bytes = "1K"\nelem_size = 64\nfixed_size = true\nfile_ttl = 0.5\n'
        '[[channel]]\nname = "failed"\nkind = "unlimited"\n'
    )
    flags = _wire.FLAG_CHAN_ACK_REQUIRED | _wire.FLAG_CHAN_FIXED_SIZE
    settings = Settings(
        kind=_wire.KIND_BUFFERED,
        capacity=5,
        elem_size=64,
        overflow=_wire.OVERFLOW_DROP_OLDEST,
        max_attempts=3,
        max_bytes=1024,
        file_ttl_ms=500,
        mode=0o640,
        flags=flags,
        dead_letter="failed",
    )
    assert found.channels[0] == Declared("jobs", settings, Owner(7, 0))
    own = Owner(os.geteuid(), os.getegid())
    assert found.channels[1] == Declared("failed", Settings(kind=_wire.KIND_UNLIMITED), own)


def test_a_dead_letter_without_attempts_is_for_what_cannot_be_delivered() -> None:
    text = channel("dead_letter = 'b'") + "[[channel]]\nname = 'b'\nkind = 'unlimited'\n"
    assert parsed(text).channels[0].settings.undelivered == _wire.UNDELIVERED_DEAD_LETTER


def test_rules_keep_their_order_and_their_place() -> None:
    found = parsed(
        "[[rule]]\nallow = ['make', 'send']\nname = 'j*'\nusers = ['root', 7]\ngroups = [8]\n"
        "[[rule]]\ndeny = ['all']\n"
    )
    assert found.policy.rules == (
        Rule(0, True, MAKE | SEND, "j*", frozenset({0, 7}), frozenset({8})),
        Rule(1, False, ALL),
    )


def test_the_default_admin_group_counts_where_it_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed("").policy.admin_gid is None
    monkeypatch.setattr("kcoro_ipc.config.group_id", lambda name: {"kcoro-admin": 77}[name])
    assert parsed("").policy.admin_gid == 77
    assert parsed('[access]\nadmin_group = ""\n').policy.admin_gid is None


def test_options_stand_before_the_file() -> None:
    found = parsed('drain = 3\nio = "thread"\n[limits]\nbytes = "1G"\nfiles = 9\n')
    both = with_options(found, {"drain": 5.0}, {"files": 7})
    assert both == replace(found, drain=5.0, limits=Limits(bytes=1 << 30, files=7))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), (7, 7), ("64K", 65_536), ("1m", 1 << 20), ("2GiB", 2 << 30), ("3kb", 3072)],
)
def test_amounts(text: str | int, value: int) -> None:
    assert amount(text) == value


@pytest.mark.parametrize("text", ["", "K", "-1", "0", "1.5", "1T", "١", True, 0, -3, "B"])
def test_what_is_no_amount(text: str | int) -> None:
    with pytest.raises(ValueError, match="no whole number"):
        amount(text)


@pytest.mark.parametrize(("text", "bits"), [("0660", 0o660), ("7", 7), ("0o600", 0o600)])
def test_modes(text: str, bits: int) -> None:
    assert mode_bits(text) == bits


@pytest.mark.parametrize("text", ["", "8", "1000", "-1", 432, "rw"])
def test_what_is_no_mode(text: str | int) -> None:
    with pytest.raises(ValueError, match="no mode"):
        mode_bits(text)


# --- which file ---


def test_a_file_that_was_named_must_be_there_and_readable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableConfig, match="there is no such file"):
        read_config(str(tmp_path / "absent.toml"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UnreadableConfig, match="is no regular file"):
        read_config(str(tmp_path / "fifo"))
    with pytest.raises(UnreadableConfig, match="cannot be read: Is a directory"):
        read_config(str(tmp_path))


def test_a_usual_file_that_is_not_there_is_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    assert read_config() == Config()
    (tmp_path / "kcoro.toml").write_text("drain = 2\n")
    assert read_config() == Config(path=str(tmp_path / "kcoro.toml"), drain=2.0)


@pytest.mark.parametrize(
    ("uid", "environ", "path"),
    [
        (0, {}, "/etc/kcoro/kcoro.toml"),
        (0, {"XDG_CONFIG_HOME": "/x"}, "/etc/kcoro/kcoro.toml"),
        (7, {"XDG_CONFIG_HOME": "/x"}, "/x/kcoro/kcoro.toml"),
        (7, {"CONFIGURATION_DIRECTORY": "/etc/kcoro:/b"}, "/etc/kcoro/kcoro.toml"),
    ],
)
def test_where_the_usual_file_is(
    monkeypatch: pytest.MonkeyPatch, uid: int, environ: dict[str, str], path: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert usual_path(environ) == path


# --- the sample ---


def sample(uncommented: bool) -> str:
    text = SAMPLE.read_text()
    return re.sub(r"^#(?=\S)", "", text, flags=re.M) if uncommented else text


def test_the_sample_as_it_is_changes_nothing() -> None:
    assert parsed(sample(False)) == Config(path="k.toml")


def test_what_the_sample_shows_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcoro_ipc.config.group_id", lambda name: 77)
    found = parsed(sample(True))
    assert found.limits == Limits()
    assert (found.log_level, found.drain, found.io) == ("info", 10.0, "trio")
    assert (found.policy.admin_gid, found.policy.allow_unmapped) == (77, False)
    assert found.socket_mode == SYSTEM_MODE
    usual = ("/run/kcoro/kcoro.sock", "seqpacket:/run/kcoro/kcoro-seq.sock")
    assert found.listen == usual


def test_the_sample_shows_every_key() -> None:
    text = sample(True)
    sections = re.split(r"^\[+(\w+)\]+$", text, flags=re.M)
    shown: dict[str, set[str]] = {"": set(re.findall(r"^(\w+) = ", sections[0], re.M))}
    for name, body in zip(sections[1::2], sections[2::2], strict=True):
        shown.setdefault(name, set()).update(re.findall(r"^(\w+) = ", body, re.M))
    expected = {"": set(keys(Top))}
    expected |= {name: set(keys(form)) for name, form in (TABLES | LISTS).items()}
    assert shown == expected


def test_sizes_of_tables_are_the_limits_that_are_of_the_whole_daemon() -> None:
    fixed = {one.name for one in fields(Limits) if is_fixed(one.name)}
    assert fixed == {
        *("connections", "channels", "tokens", "clauses", "messages", "accounts"),
        *("regions", "files", "bytes", "metrics_channels", "metrics_users"),
    }
    new = Limits(tokens=5, bytes_per_uid=6)
    assert Limits().changed(new, fixed=True) == ["tokens"]
    assert Limits().changed(new, fixed=False) == ["bytes_per_uid"]
    assert new.with_sizes_of(Limits()) == Limits(bytes_per_uid=6)
