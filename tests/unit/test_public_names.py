"""The front of the package: what it names exists, and costs nothing until it is asked for."""

import subprocess
import sys

import pytest

import kcoro_ipc


@pytest.mark.parametrize("name", kcoro_ipc.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(kcoro_ipc, name) is not None
    assert name in dir(kcoro_ipc)


def test_each_public_name_has_a_home() -> None:
    assert set(kcoro_ipc._HOMES) | {"__version__"} == set(kcoro_ipc.__all__)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'opne_client'"):
        _ = kcoro_ipc.opne_client


@pytest.mark.parametrize("statement", ["import kcoro_ipc", "import kcoro_ipc.errors"])
def test_the_front_loads_no_heavy_module(statement: str) -> None:
    heavy = {"trio", "construct", "_cffi_backend", "click", "rich"}
    code = f"{statement}; import sys; print(*{heavy!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_versions_of_package_and_metadata_agree() -> None:
    from importlib.metadata import version

    assert version("kcoro-ipc") == kcoro_ipc.__version__
