"""`kcoro completion SHELL`: what a shell evaluates to complete commands, options and channels.

What `--install` writes only calls this command when the shell loads it, so it fits every later
version of the program.
"""

import os
from pathlib import Path

import click

from kcoro_ipc.cli.exits import outside
from kcoro_ipc.cli.invocation import common
from kcoro_ipc.cli.main import COMPLETE

SHELLS = ("bash", "zsh", "fish")
HINTS = {
    "bash": 'eval "$(kcoro completion bash)"        in ~/.bashrc',
    "zsh": 'eval "$(kcoro completion zsh)"         in ~/.zshrc, behind compinit',
    "fish": "kcoro completion fish | source        in ~/.config/fish/config.fish",
}
# Below the user's data directory (fish: configuration): where a shell looks for a command's own
# file, the file (as in completions/), and what else it needs.
PLACES = {
    "bash": (
        "bash-completion/completions/kcoro",
        'eval "$(kcoro completion bash)"\n',
        "new shells have it, if the package bash-completion is installed",
    ),
    "zsh": (
        "zsh/site-functions/_kcoro",
        '#compdef kcoro\neval "$(kcoro completion zsh)"\n_kcoro_completion "$@"\n',
        "new shells have it, if ~/.zshrc says before compinit: fpath+=({folder})",
    ),
    "fish": (
        "fish/completions/kcoro.fish",
        "kcoro completion fish | source\n",
        "new shells have it",
    ),
}


@click.command(epilog="\b\n" + "\n".join(HINTS.values()))
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--install", is_flag=True, help="Write it where your shell looks for it.")
@common
@click.pass_context
def completion(context: click.Context, shell: str, install: bool) -> None:
    """Print what a shell needs to complete kcoro's commands, options and channel names."""
    click.echo(installed(shell) if install else script(shell, context.find_root().command))


def script(shell: str, group: click.Command) -> str:
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    # Not source(): for bash it would start a bash to check its version, and complain on stdout.
    variables = found(group, {}, "kcoro", COMPLETE).source_vars()
    text: str = found.source_template % variables
    return text


def installed(shell: str) -> str:
    """Writes the user's own file; what to tell them."""
    below, text, then = PLACES[shell]
    place = _base(shell) / below
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    except OSError as error:
        raise outside(f"cannot write {place}", error) from error
    return f"wrote {place}; {then.format(folder=place.parent)}"


def _base(shell: str) -> Path:
    """XDG Base Directory Specification; a relative path counts as none there."""
    name, usual = ("CONFIG", ".config") if shell == "fish" else ("DATA", ".local/share")
    given = Path(os.environ.get(f"XDG_{name}_HOME", ""))
    return given if given.is_absolute() else Path.home() / usual
