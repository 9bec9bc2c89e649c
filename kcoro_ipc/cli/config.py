"""`kcoro config check` and `kcoro config show`: the daemon's file, without the daemon."""

import json
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc.cli import exits
from kcoro_ipc.cli.invocation import Invocation, common
from kcoro_ipc.cli.output import json_line, write_all

if TYPE_CHECKING:
    from kcoro_ipc.access import Rule
    from kcoro_ipc.config_forms import Config, Declared

file_argument = click.argument("file", metavar="[FILE]", required=False)


@click.group(no_args_is_help=False)
def config() -> None:
    """Check the daemon's configuration file, or show what it says.

    Without FILE it is the one that `kcoro serve` of this user would read.
    """


@config.command()
@file_argument
@common
@click.pass_context
def check(context: click.Context, file: str | None) -> None:
    """Say what is wrong in FILE, a line for each mistake: file, key, what it must be.

    Exit code 2 if anything is, 1 if it cannot be read.
    """
    found = read(context, file)
    counts = {"channel": len(found.channels), "rule": len(found.policy.rules)}
    said = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for word, n in counts.items())
    where = found.path if found.path is not None else f"no file at {usual()}, so the defaults count"
    click.echo(f"{where}: {said}; nothing wrong")


@config.command()
@file_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@common
@click.pass_context
def show(context: click.Context, file: str | None, as_json: bool) -> None:
    """Print every setting as a daemon with FILE has it, defaults included."""
    values = settings(read(context, file))
    if as_json:
        write_all(json_line(values))
        return
    for key, value in flat("", values):
        click.echo(f"{key} = {json.dumps(value, ensure_ascii=False)}")


def usual() -> str:
    from kcoro_ipc.config import usual_path

    return usual_path()


def read(context: click.Context, file: str | None) -> "Config":
    """Ends the command, after a line for each problem, if the file is wrong."""
    from kcoro_ipc.config import read_config
    from kcoro_ipc.config_forms import ConfigError, UnreadableConfig

    invocation = context.ensure_object(Invocation)
    try:
        return read_config(file)
    except ConfigError as error:
        for line in error.lines():
            invocation.say(line)
        context.exit(exits.OUTSIDE if isinstance(error, UnreadableConfig) else exits.USAGE)


def settings(found: "Config") -> dict[str, Any]:
    """In the shape of the file: users and groups by number, amounts in bytes, None for what the
    daemon finds out by itself."""
    import dataclasses

    from kcoro_ipc.config_forms import PLAIN_KEYS

    plain = {key: getattr(found, key) for key in PLAIN_KEYS}
    return {
        **plain,
        "listen": list(found.listen),
        "socket_mode": octal(found.socket_mode),
        "limits": dataclasses.asdict(found.limits),
        "access": {
            "admin_group": found.policy.admin_gid,
            "allow_unmapped": found.policy.allow_unmapped,
        },
        "channel": [channel(one) for one in found.channels],
        "rule": [rule(one) for one in found.policy.rules],
    }


def channel(one: "Declared") -> dict[str, Any]:
    import dataclasses

    from kcoro_ipc.protocol.channels import KIND_NAMES, OVERFLOW_NAMES

    settings = dataclasses.asdict(one.settings)
    return {
        "name": one.name,
        "owner": one.owner.uid,
        "group": one.owner.gid,
        **settings,
        "kind": KIND_NAMES[one.settings.kind],
        "overflow": OVERFLOW_NAMES[one.settings.overflow],
        "mode": octal(one.settings.mode),
    }


def rule(one: "Rule") -> dict[str, Any]:
    from kcoro_ipc.access import OPERATIONS

    words = [word for word, bit in OPERATIONS.items() if one.operations & bit]
    return {
        "allow" if one.allow else "deny": words,
        "name": one.pattern,
        "users": sorted(one.uids),
        "groups": sorted(one.gids),
    }


def octal(mode: int | None) -> str | None:
    return None if mode is None else f"{mode:04o}"


def flat(path: str, value: Any) -> list[tuple[str, Any]]:
    """Keys as `kcoro config check` names them: channel[0].name."""
    if isinstance(value, dict):
        parts = [(f"{path}.{key}".lstrip("."), one) for key, one in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        parts = [(f"{path}[{place}]", one) for place, one in enumerate(value)]
    else:
        return [(path, value)]
    return [found for key, one in parts for found in flat(key, one)]
