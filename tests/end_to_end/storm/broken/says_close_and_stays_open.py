"""Every answer says ``Connection: close``, and the connection stays open and unread."""

from tests.end_to_end.storm.broken import keeps_no_connection, wedges_kept_connections


def break_it() -> None:
    keeps_no_connection.break_it()
    wedges_kept_connections.break_it()
