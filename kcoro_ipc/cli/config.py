"""`kcoro config check` and `kcoro config show`: the daemon's file, without the daemon."""

from typing import TYPE_CHECKING

import click

from kcoro_ipc.cli import exits
from kcoro_ipc.cli.invocation import Invocation, common
from kcoro_ipc.cli.output import json_line, write_all

if TYPE_CHECKING:
    from kcoro_ipc.config_forms import Config

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
    """Print every setting as a daemon with FILE has it, defaults included: as a file that says the
    same. Of a key that stands in a comment the daemon finds the value by itself.
    """
    from kcoro_ipc.config_shown import shown_config, toml

    values = shown_config(read(context, file))
    write_all(
        json_line(values) if as_json else "".join(f"{line}\n" for line in toml(values)).encode()
    )


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
