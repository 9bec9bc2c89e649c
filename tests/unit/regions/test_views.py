"""Who sees a piece of memory is found out by counting references, however Python counts them."""

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest

from kcoro_ipc.regions import views


def counted_anew() -> ModuleType:
    """The module as it is when Python starts."""
    spec = importlib.util.spec_from_file_location("views_anew", str(views.__file__))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("fewer", [0, 1, 2])  # 1 makes up for `count` itself, 2 is one too few
def test_others_are_seen_whether_or_not_python_counts_what_a_call_borrows(
    fewer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sys.getrefcount

    def count(buffer: Any) -> int:
        return real(buffer) - fewer

    monkeypatch.setattr(sys, "getrefcount", count)
    module = counted_anew()
    view = memoryview(bytearray(10))
    assert module._references(view) - module.OWN_REFERENCES == 1, "else all objects are searched"
    assert not module.seen_by_others([view])
    part = view[2:]
    assert module.seen_by_others([view])
    assert not module.seen_by_others([view, part])
    part.release()
    assert not module.seen_by_others([view])
