"""The harness's own client: a server that does nothing does not hold it up."""

import socket
import ssl

import pytest
import trio

from jarvis_trio.storm import call
from jarvis_trio.storm.call import Request, calling
from jarvis_trio.storm.target import Target


def test_a_server_that_shakes_no_hands_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "CONNECT_SECONDS", 0.2)

    async def ask(port: int) -> None:
        target = Target("127.0.0.1", port, is_secure=True, trust=ssl.create_default_context())
        with trio.fail_after(5), pytest.raises(TimeoutError, match=r"no connection within 0\.2 s"):
            async with calling(target, Request("GET", "/")):
                pass

    with socket.create_server(("127.0.0.1", 0)) as silent:
        trio.run(ask, silent.getsockname()[1])
