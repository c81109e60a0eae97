"""A process that writes turns to a store: ``python -m tests.store.writer URL OWNER TURNS``.

It prints a line for each turn that the store has taken, and nothing that it has not.
"""

import sys

from jarvis_trio.store.sql import SQLStore
from tests.store.writes import begin, end


def main(url: str, owner: str, turns: int) -> None:
    store = SQLStore(url)
    store.open()
    print("open", flush=True)  # noqa: T201 - whoever started it waits for this
    for number in range(turns):
        session = f"{owner}-{number % 10}"
        stream = f"{owner}-{number}"
        store.apply(
            [
                begin(stream, owner=owner, session_id=session),
                end(stream, stream, owner=owner, session_id=session),
                begin(stream, owner=stream, session_id="shared by none"),
            ]
        )
        print(stream, flush=True)  # noqa: T201 - the same
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
