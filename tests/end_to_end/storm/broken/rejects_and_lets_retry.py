"""Who is rejected is not told to leave it at that: client libraries would ask again at once."""

from tests.end_to_end.storm.broken import with_reject


def break_it() -> None:
    with_reject.SessionBusyError.should_retry = None
    with_reject.break_it()
