"""From deltas to frames: one frame for all that one read of the upstream brought.

How much that is, and so how many frames there are, is :mod:`pace`'s to say. Text is never
reordered, lost or framed twice, whatever is cancelled, since receiving from a channel either hands
over an item or is cancelled, and framing is sync.
"""

from collections.abc import Callable

import trio

from jarvis_trio.engine.pace import size_of
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Delta, Finish, Reasoning, Text, ToolCall, Usage


class Batcher:
    """Takes deltas from ``channel`` and gives frames to the stream's readers.

    ``on_text`` is called with the text of every frame that has some. *Resources:* the channel is
    the caller's to close, once it has called ``clean_up``.
    """

    def __init__(
        self,
        stream: LiveStream,
        channel: trio.MemoryReceiveChannel[list[Delta]],
        *,
        on_text: Callable[[str], None] | None,
    ) -> None:
        self._stream = stream
        self._channel = channel
        self._on_text = on_text
        self._has_ended = False
        self._log = stream.log

    async def run(self) -> None:
        """Frame until the channel ends, held back by the slowest reader."""
        async for deltas in self._channel:
            self._frame(deltas)
            await self._stream.replay.wait_for_room()
        self._has_ended = True
        self._log.debug("flush_on_end")
        await self._stream.replay.wait_for_room()

    def _frame(self, deltas: list[Delta]) -> None:
        """Make a frame of all the text. Sync: no cancellation can come in between."""
        stream = self._stream
        texts: list[Text | Reasoning | ToolCall] = []
        for delta in deltas:
            if isinstance(delta, (Finish, Usage)):
                stream.answer.mark(delta)
            elif isinstance(delta, ToolCall) or delta.text:
                texts.append(delta)
        if not texts:
            return
        frame = stream.encoder.deltas(texts)
        self._log.debug("flush_start", size=len(frame))
        if stream.first_text_at is None:
            stream.first_text_at = trio.current_time()
        stream.answer.add(texts)
        stream.replay.append(frame)
        if self._on_text is not None:
            text = "".join(delta.text for delta in texts if isinstance(delta, Text))
            if text:
                self._on_text(text)
        self._log.debug("flush_done", tokens_sent=len(texts))

    def clean_up(self) -> None:
        """Frame what was read before a cancel, so that the partial answer is whole."""
        if self._has_ended:
            return
        size = 0
        while True:
            try:
                deltas = self._channel.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel):
                break
            size += size_of(deltas)
            self._frame(deltas)
        self._log.debug("flush_on_cleanup", size=size)
        self._log.debug("cleanup_flush_task")
        self._log.debug("cleanup_buffer")
