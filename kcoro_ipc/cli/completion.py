"""`kcoro completion SHELL`: what a shell evaluates to complete commands, options and channels."""

import click

from kcoro_ipc.cli.invocation import common
from kcoro_ipc.cli.main import COMPLETE

SHELLS = ("bash", "zsh", "fish")
HINTS = {
    "bash": 'eval "$(kcoro completion bash)"        in ~/.bashrc',
    "zsh": 'eval "$(kcoro completion zsh)"         in ~/.zshrc',
    "fish": "kcoro completion fish | source        in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(HINTS.values()))
@click.argument("shell", type=click.Choice(SHELLS))
@common
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what a shell needs to complete kcoro's commands, options and channel names."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    group = context.find_root().command
    # Not source(): for bash it would start a bash to check its version, and complain on stdout.
    variables = found(group, {}, "kcoro", COMPLETE).source_vars()
    click.echo(found.source_template % variables)
