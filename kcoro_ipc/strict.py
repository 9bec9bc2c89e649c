"""A table of a TOML file as a struct, or one sentence about what is wrong with it.

msgspec judges the types; this says where the trouble is, what stands there and what may stand there
instead. It knows no key of any file.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

Table = TypeVar("Table")
Hook = Callable[[type, Any], Any]

_SAID = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.S)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.S)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_EXPECTED = re.compile(r"Expected `(\w+)(?: \| \w+)*`( [<>]=? .*)?(?:, got .*)?")
_WORDS = {
    "str": "a text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list in brackets",
    "object": "a table",
}


class Problem(NamedTuple):
    """`where`: the path of a key, as channel[2].kind; empty when it is the whole file."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class TableError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_table(where: str, table: object, form: type[Table], hook: Hook) -> Table:
    """TableError for the first thing that does not fit. `hook`: msgspec's dec_hook."""
    try:
        return msgspec.convert(table, form, dec_hook=hook)
    except msgspec.ValidationError as error:
        raise TableError(_explained(where, table, form, str(error))) from None


def keys(form: type) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(form)]


def _explained(where: str, table: object, form: type, said: str) -> Problem:
    match = _SAID.fullmatch(said)
    what, at = (match[1], match[2] or "") if match else (said, "")
    if unknown := _UNKNOWN.fullmatch(what):
        return Problem(join(where, f".{unknown[1]}"), no_such_key(unknown[1], keys(form)))
    if missing := _MISSING.fullmatch(what):
        return Problem(join(where, f".{missing[1]}"), "is missing")
    value = _value(table, at)
    if what.startswith("Invalid enum value"):
        what = f"{_shown(value)} is not possible; choose {listed(_choices(form, at))}"
    elif expected := _EXPECTED.fullmatch(what):
        wanted = _WORDS.get(expected[1], expected[1]) + (expected[2] or "")
        what = f"must be {wanted}, not {_shown(value)}"
    return Problem(join(where, at), what)


def no_such_key(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return "no such key; " + (f"did you mean {near[0]}?" if near else f"there are {listed(known)}")


def listed(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def join(where: str, at: str) -> str:
    return (where + at).lstrip(".")


def _value(table: object, at: str) -> object:
    for name, place in re.findall(r"\.([^.\[]+)|\[(\d+)\]", at):
        if isinstance(table, Mapping):
            table = table[name]
        elif isinstance(table, list):
            table = table[int(place)]
    return table


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "that"


def _choices(form: type, at: str) -> list[str]:
    """The words of the Literal that belongs to the first key of a path."""
    hint = get_type_hints(form)[re.split(r"[.\[]", at)[1]]
    while get_origin(hint) is not Literal:
        hint = get_args(hint)[0]
    return [str(word) for word in get_args(hint)]
