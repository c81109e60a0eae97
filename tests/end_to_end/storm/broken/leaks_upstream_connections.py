"""Now and then, the connection to the model server is forgotten instead of closed."""

from itertools import count

from jarvis_trio.providers.http_body import ResponseBody

EVERY = 5

_close = ResponseBody.close
_numbers = count(1)
_forgotten: list[ResponseBody] = []


def break_it() -> None:
    ResponseBody.close = _close_most  # type: ignore[method-assign]


def _close_most(self: ResponseBody) -> None:
    if self not in _forgotten:  # it is closed from more than one place
        if next(_numbers) % EVERY:
            _close(self)
        else:
            _forgotten.append(self)
