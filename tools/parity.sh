#!/bin/sh
# Runs tests/parity/parity.kt and keeps what it says in tests/parity/kotlin.txt. Needed by nobody who only tests: the
# transcript is committed. Debian's kotlin, libkotlinx-coroutines-java and libkotlinx-atomicfu-java.
set -eu
cd "$(dirname "$0")/.."
java=/usr/share/java
needed=$java/kotlinx-coroutines-core.jar:$java/atomicfu.jar:/usr/share/kotlin/kotlinc/lib/kotlin-stdlib.jar
for file in $(command -v kotlinc || echo kotlinc) $(echo "$needed" | tr : ' '); do
    if [ ! -e "$file" ]; then
        echo "parity: no $file: apt-get install kotlin libkotlinx-coroutines-java libkotlinx-atomicfu-java" >&2
        exit 1
    fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version() { dpkg-query -W -f '${Version}' "$1"; }
kotlinc -nowarn -Xuse-experimental=kotlin.Experimental -cp "$needed" -d "$work/parity.jar" tests/parity/parity.kt
{
    echo "# What parity.kt says; made by tools/parity.sh."
    echo "# kotlin $(version kotlin), kotlinx-coroutines $(version libkotlinx-coroutines-java) of Debian, one thread"
    echo "# parity.kt $(sha256sum tests/parity/parity.kt | cut -d ' ' -f 1)"
    java -cp "$work/parity.jar:$needed" ParityKt
} >"$work/kotlin.txt"
mv "$work/kotlin.txt" tests/parity/kotlin.txt
