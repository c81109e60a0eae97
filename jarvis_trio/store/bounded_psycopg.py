"""PostgreSQL connections that wait for their server only so long.

The server's own timeouts do not help when it is the server that stands still: its machine paused,
its disk stuck in the middle of a commit.
"""

import time
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait

T = TypeVar("T")

ANSWER_SECONDS: Final = 6
"""More than the server lets a statement take, so that a server that is well gets to say so."""


class BoundedConnection(psycopg.Connection):
    """Fails, and is closed, when its server is silent for ``ANSWER_SECONDS``."""

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Run what talks to the server to its end."""
        try:
            return super().wait(_bounded(gen), *args, **kwargs)
        except _SilentError as error:
            self.close()
            raise error from None


class _SilentError(psycopg.OperationalError):
    pass


def _bounded(gen: PQGen[T]) -> PQGen[T]:
    deadline = time.monotonic() + ANSWER_SECONDS
    try:
        wanted: Wait = next(gen)
        while True:
            ready = yield wanted
            # psycopg says that nothing is ready every tenth of a second.
            if ready == Ready.NONE and time.monotonic() > deadline:
                raise _SilentError(f"the server has not answered in {ANSWER_SECONDS} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        value: T = end.value
        return value
