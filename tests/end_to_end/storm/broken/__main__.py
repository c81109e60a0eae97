"""``jarvis-trio serve``, with one mechanism broken: ``… NAME[:WORD…] OPTION…``.

Each module beside this one has a ``break_it()``, which takes away what one scenario looks at; the
words, if it takes any, say when or where.
"""

import importlib
import sys

from jarvis_trio.cli import main

if __name__ == "__main__":
    name, *words = sys.argv.pop(1).split(":")
    importlib.import_module(f"tests.end_to_end.storm.broken.{name}").break_it(*words)
    sys.argv.insert(1, "serve")
    main()
