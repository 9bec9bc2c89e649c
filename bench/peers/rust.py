"""crossbeam-channel: bench/native/crossbeam, compiled with Debian's sources of it, no network.

Whichever cargo and rustc come first on the PATH compile it. Cargo writes a lock file beside its
manifest, so it works on a copy in build/bench/.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from bench import tools
from bench.model import Settings

PACKAGE = "librust-crossbeam-channel-dev"
CRATES = Path("/usr/share/cargo/registry")  # where Debian puts sources of crates


def program(settings: Settings) -> Path:
    """The compiled program. Raises SkippedError."""
    tools.program("cargo", "cargo", settings)
    tools.debian_file(CRATES, "crossbeam-channel-*", PACKAGE, settings)
    return _compiled()


@functools.cache
def _compiled() -> Path:
    crate = tools.OUT / "crossbeam"
    shutil.copytree(tools.NATIVE / "crossbeam", crate, dirs_exist_ok=True)
    tools.build(
        (
            *("cargo", "build", "--quiet", "--release", "--offline"),
            *("--manifest-path", str(crate / "Cargo.toml")),
            *("--config", 'source.crates-io.replace-with="debian"'),
            *("--config", f'source.debian.directory="{CRATES}"'),
        ),
        {"CARGO_TARGET_DIR": str(crate / "target")},
    )
    return crate / "target" / "release" / "bench_crossbeam"
