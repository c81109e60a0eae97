"""``jarvis-trio serve``, with one mechanism broken: ``… NAME OPTION…``.

Each module beside this one has a ``break_it()``, which takes away what one scenario looks at.
"""

import importlib
import sys

from jarvis_trio.cli import main

if __name__ == "__main__":
    name = sys.argv.pop(1)
    importlib.import_module(f"tests.end_to_end.storm.broken.{name}").break_it()
    sys.argv.insert(1, "serve")
    main()
