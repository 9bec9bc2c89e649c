"""What every test gets: a check that it leaves no descriptor open, and a short socket directory."""

import gc
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Examples take their own time on a loaded machine: hypothesis must not judge speed.
settings.register_profile(
    "ci", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("long", settings.get_profile("ci"), max_examples=5_000)
settings.load_profile("long" if os.environ.get("KCORO_LONG") else "ci")


# A shell starts what runs in the background with SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def open_files() -> Counter[str]:
    """What this process's descriptors refer to, by name, without the one this listing needs."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        try:
            found[os.readlink(f"/proc/self/fd/{number}")] += 1
        except FileNotFoundError:
            continue  # the listing's own descriptor, closed by now
    return found


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    """Fail a test that ends with more open files than it began with, by name.

    Autouse fixtures of this scope are set up first and torn down last, so a test's own fixtures
    have closed what they opened.
    """
    gc.collect()
    gc.freeze()  # what survives is looked at once, not again before every test (pytest keeps a lot)
    before = open_files()
    yield
    leaked = open_files() - before
    if leaked:
        gc.collect()  # a cycle is no leak
        leaked = open_files() - before
    assert not leaked, f"the test left descriptors open: {dict(leaked)}"


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A private directory with a short path: an AF_UNIX path holds 107 bytes, tmp_path more."""
    path = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)
