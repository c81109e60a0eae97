"""``python -m jarvis_trio``: the same as ``jarvis-trio``."""

from jarvis_trio.cli import main

if __name__ == "__main__":
    main(prog_name="jarvis-trio")
