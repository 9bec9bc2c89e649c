"""Load one extension module from a path: fails when it refers to a symbol that nobody defines."""

import importlib.util
import sys

spec = importlib.util.spec_from_file_location("kcoro_ipc._kcoro", sys.argv[1])
if spec is None or spec.loader is None:
    sys.exit(f"{sys.argv[1]} is not an extension module")
spec.loader.exec_module(importlib.util.module_from_spec(spec))
