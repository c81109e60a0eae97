"""Who is rejected is not told to leave it at that: client libraries would ask again at once."""

from jarvis_trio.errors import SessionBusyError


def break_it() -> None:
    SessionBusyError.should_retry = None
