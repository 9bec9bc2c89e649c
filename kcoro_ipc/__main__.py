"""`python -m kcoro_ipc` is `kcoro`."""

from kcoro_ipc.cli.main import main

main()
