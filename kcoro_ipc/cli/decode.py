"""`kcoro decode`: captured bytes of one direction of a connection, as frames for people."""

from collections.abc import Iterator
from typing import IO

import click

from kcoro_ipc.cli.exits import OutsideError
from kcoro_ipc.cli.invocation import common

READ_BYTES = 64 << 10
MINORS = {"1.0": 0, "1.1": 1}


@click.command()
@click.argument("source", type=click.File("rb"), default="-", metavar="[FILE]")
@click.option("--abi", type=click.Choice(list(MINORS)), help="[what the first HELLO says]")
@click.option("--hex", "as_hex", is_flag=True, help="The input is hex text, spaces allowed.")
@common
def decode(source: IO[bytes], abi: str | None, as_hex: bool) -> None:
    """Print the frames in FILE (or stdin), bytes that went one way over a connection.

    What is no frame is a line that says where and why; the exit code is 1 then.
    """
    from kcoro_ipc.decode import Decoder

    decoder = Decoder(None if abi is None else MINORS[abi])
    for data in from_hex(source) if as_hex else pieces(source):
        for line in decoder.feed(data):
            click.echo(line)
    for line in decoder.finish():
        click.echo(line)
    if decoder.broken:
        raise OutsideError(
            f"the input is no whole run of frames (byte {decoder.offset}); cut it where frames "
            "begin and end, or say --hex for digits"
        )


def pieces(source: IO[bytes]) -> Iterator[bytes]:
    read = getattr(source, "read1", source.read)  # what is there, so that a live capture flows
    while data := read(READ_BYTES):
        yield data


def from_hex(source: IO[bytes]) -> Iterator[bytes]:
    """Digits in pairs; what stands between them is white space."""
    odd = b""
    for data in pieces(source):
        digits = odd + b"".join(data.split())
        odd = digits[-1:] if len(digits) % 2 else b""
        yield _bytes_of(digits[: len(digits) - len(odd)])
    if odd:
        raise click.UsageError("--hex: the input ends with half a byte")


def _bytes_of(digits: bytes) -> bytes:
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError as error:
        raise click.UsageError(f"--hex: the input is not hex text ({error})") from error
