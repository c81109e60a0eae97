"""One prompt and its answer."""

from typing import Final

import trio

from jarvis_trio.chat.answer import Failure
from jarvis_trio.chat.client import ChatError, Client, Question, Receipt
from jarvis_trio.chat.view import View

_ENDINGS: Final = {
    "length": "the answer was cut at its longest",
    "content_filter": "the answer was cut by the model server's filter",
    "tool_calls": "the model called tools, which this client has none of",
}


class Exchange:
    """A prompt that is sent at once, and whose answer is shown when the one before has ended.

    ``failure`` says why there was no whole answer; ``ended`` is set when it has nothing to show any
    more, and its connection is closed.
    """

    def __init__(self, question: Question, before: "Exchange | None") -> None:
        self.question = question
        self.failure: Failure | None = None
        self.stream_id: str | None = None
        self.is_shown = False
        self.ended = trio.Event()
        self._before = before
        self._turn = trio.Event()
        self._scope = trio.CancelScope()
        self._stopped: trio.Event | None = None
        self._receipt: Receipt | None = None

    async def run(self, client: Client, view: View) -> None:
        """Ask, and show what comes."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._take_turn, view)
                    await self._ask(client, view)
                if self._stopped is not None:
                    await self._stopped.wait()
            if self._scope.cancelled_caught:
                self.failure = Failure("left", "left: the connection is closed")
            if self.is_shown:
                await view.end()
            await self._tell(view)
        finally:
            self._before = None
            self.ended.set()

    async def stop(self, client: Client, view: View) -> None:
        """Stop it by its name. Where it has none yet, or a stop hangs, its connection is closed."""
        if self.stream_id is None or self._stopped is not None:
            self._scope.cancel(reason="the user does not wait")
            return
        self._stopped = trio.Event()
        try:
            self._receipt = await client.stop(self.question.session_id, self.stream_id)
        except ChatError as error:
            await view.error(f"not stopped: {error.message}")
        finally:
            self._stopped.set()

    async def _take_turn(self, view: View) -> None:
        if self._before is not None:
            await self._before.ended.wait()
        self.is_shown = True
        await view.prompt(self.question.prompt)
        self._turn.set()

    async def _ask(self, client: Client, view: View) -> None:
        try:
            async with client.asking(self.question) as reply:
                self.stream_id = reply.stream_id
                await self._turn.wait()
                while (pieces := await reply.read()) is not None:
                    if pieces:
                        await view.pieces(pieces)
                self.failure = reply.decoder.failure
                ending = reply.decoder.finish_reason
        except ChatError as error:
            await self._turn.wait()
            self.failure = Failure(error.code, error.message)
            return
        if self.failure is None and ending in _ENDINGS:
            await view.end()
            await view.note(_ENDINGS[ending])

    async def _tell(self, view: View) -> None:
        if self._receipt is not None:
            await view.note(in_words(self._receipt))
        elif self.failure is None:
            return
        elif self.failure.code in ("superseded", "stopped", "left"):
            await view.note(self.failure.message)
        else:
            await view.error(self.failure.message)


def in_words(receipt: Receipt) -> str:
    """Say what was seen of a stop."""
    if receipt.status == "already_ended":
        return f"it had already ended ({receipt.cause})"
    if receipt.upstream_closed_ms is None:
        if receipt.status == "cancelled":
            return "stopped before the model server was asked"
        return "stopped: the upstream was not seen to close"
    closed = f"stopped: upstream closed after {receipt.upstream_closed_ms:g} ms"
    if receipt.backend_idle_ms is None:
        return f"{closed}, backend not seen idle"
    return f"{closed}, backend idle after {receipt.backend_idle_ms:g} ms"
