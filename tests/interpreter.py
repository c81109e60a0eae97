"""What differs between the Pythons that this runs with."""

import sys

LEAVES_CYCLES = sys.version_info >= (3, 12)
"""Where a context manager raises an exception from another, as trio's do for a broken connection,
contextlib's frame and the traceback hold each other: that waits for the garbage collector."""

WHY = (
    "from Python 3.12 on, contextlib itself leaves cycles: WHAT WAITS FOR THE COLLECTOR IS NOT SEEN"
)
