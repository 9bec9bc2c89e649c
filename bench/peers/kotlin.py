"""kotlinx.coroutines: bench/native/bench_kotlin.kt, compiled and run with Debian's packages."""

from __future__ import annotations

import functools
from pathlib import Path

from bench import tools
from bench.model import Settings

JARS = {
    Path("/usr/share/java/kotlinx-coroutines-core.jar"): "libkotlinx-coroutines-java",
    Path("/usr/share/java/atomicfu.jar"): "libkotlinx-atomicfu-java",
    Path("/usr/share/kotlin/kotlinc/lib/kotlin-stdlib.jar"): "kotlin",
}


def command(settings: Settings) -> tuple[str, ...]:
    """What runs the program; the mode comes behind it. Raises SkippedError."""
    compiler = tools.program("kotlinc", "kotlin", settings)
    java = tools.program("java", "default-jre-headless", settings)
    jars = [
        str(tools.debian_file(path.parent, path.name, package, settings))
        for path, package in JARS.items()
    ]
    classes = ":".join([str(_compiled(compiler, ":".join(jars))), *jars])
    return (java, "-cp", classes, "Bench_kotlinKt")


@functools.cache
def _compiled(compiler: str, classes: str) -> Path:
    target = tools.OUT / "bench_kotlin.jar"
    source = tools.NATIVE / "bench_kotlin.kt"
    tools.build((compiler, "-nowarn", "-cp", classes, "-d", str(target), str(source)))
    return target
