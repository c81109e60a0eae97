"""What a model server has said in a window that is cut short belongs to the partial answer."""

from functools import partial

import trio

from tests.end_to_end.client import Exchange, prompt
from tests.end_to_end.faults.played_upstream import (
    ENDS_WITHIN_SECONDS,
    PlayedUpstream,
    saying,
    servers_before_upstream,
)
from tests.providers.raw_server import RawPeer

upstream = servers_before_upstream(flush_window_ms="60000")


async def test_a_superseded_answer_has_all_that_came_in_its_window(
    upstream: PlayedUpstream,
) -> None:
    api = upstream.api
    old, new = Exchange(), Exchange()
    said = trio.Event()

    async def play(peer: RawPeer, request: bytes) -> None:
        if b"the new prompt" in request:
            await saying(api.head(), api.answer)(peer, request)
            return
        await peer.stream.send_all(api.head() + api.tokens(0))
        await old.first_text.wait()  # with it, the window opens
        await peer.stream.send_all(api.tokens(1, 2))
        await peer.stream.send_all(api.tokens(3))
        said.set()
        await peer.see_close()

    ask = partial(prompt, upstream.server.url, session="windows", model="m")
    with trio.fail_after(ENDS_WITHIN_SECONDS):
        async with upstream.playing(play) as raw, trio.open_nursery() as nursery:
            nursery.start_soon(partial(ask, "the old prompt", exchange=old))
            await said.wait()
            await ask("the new prompt", exchange=new)
            await raw.wait_handled(raw.accepted)
    assert old.error_code == "superseded"
    assert old.text == "w0 w1 w2 w3 "
    assert old.ends_with_done
    assert new.is_complete
    assert new.text == "w0 w1 "
    upstream.assert_idle()
