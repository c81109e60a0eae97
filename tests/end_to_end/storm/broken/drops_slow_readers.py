"""A client that is slow to take one large write is dropped, however steadily it reads."""

from jarvis_trio.web import connection, response_body
from jarvis_trio.web.client_socket import ClientSocket, Progress

LARGE_WRITE_BYTES = 256 * 1024


def break_it() -> None:
    ClientSocket.progress = _nothing_moves  # type: ignore[method-assign]
    for module in (connection, response_body):
        vars(module)["WRITE_SLICE_BYTES"] = LARGE_WRITE_BYTES


def _nothing_moves(self: ClientSocket) -> Progress:
    return Progress(writes=0, waiting=1)
