"""From deltas to frames: the first text at once, then one frame per window.

The window opens at the first text that has not been sent and is a ``move_on_after``: a timer
that belongs to the stream's tree and is gone with it. Text is never reordered, lost or framed
twice, whatever is cancelled, since receiving from a channel either hands over an item or is
cancelled, and framing is sync.
"""

from collections.abc import Callable

import trio

from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Delta, Finish, Phase, Reasoning, Text, ToolCall, Usage


class Batcher:
    """Takes deltas from ``channel`` and gives frames to the stream's readers.

    ``on_text`` is called with the text of every frame that has some. *Resources:* closes the
    channel. Ends when the channel ends; when cancelled, frames what was already read.
    """

    def __init__(
        self,
        stream: LiveStream,
        channel: trio.MemoryReceiveChannel[list[Delta]],
        *,
        window_seconds: float,
        flush_bytes: int,
        on_text: Callable[[str], None] | None,
    ) -> None:
        self._stream = stream
        self._channel = channel
        self._window_seconds = window_seconds
        self._flush_bytes = flush_bytes
        self._on_text = on_text
        self._pending: list[Text | Reasoning | ToolCall] = []
        self._pending_bytes = 0
        self._window_is_open = False
        self._log = stream.log

    async def run(self) -> None:
        """Frame until the channel ends, held back by the slowest reader."""
        with self._channel:
            try:
                while await self._fill():
                    self._flush()
                    await self._stream.replay.wait_for_room()
                self._stream.reach(Phase.FLUSH)
                self._log.debug("flush_on_end", size=self._pending_bytes)
                self._flush()
                await self._stream.replay.wait_for_room()
            except trio.Cancelled:
                self._clean_up()
                raise

    async def _fill(self) -> bool:
        """Wait for text and hold it for the window; False at the end of the channel."""
        try:
            while not self._pending:
                self._take(await self._channel.receive())
            if self._stream.first_text_at is None:
                return True
            self._log.debug("flush_scheduled")
            self._window_is_open = True
            with trio.move_on_after(self._window_seconds):
                while self._pending_bytes <= self._flush_bytes:
                    self._take(await self._channel.receive())
                self._log.debug("flush_immediate", size=self._pending_bytes)
        except trio.EndOfChannel:
            self._window_is_open = False
            return False
        self._window_is_open = False
        return True

    def _take(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            if isinstance(delta, (Text, Reasoning)):
                text = delta.text
                if not text:
                    continue
                self._pending_bytes += len(text) if text.isascii() else len(text.encode())
                self._pending.append(delta)
            elif isinstance(delta, (Finish, Usage)):
                self._stream.answer.mark(delta)
            else:
                self._pending_bytes += len(delta.arguments)
                self._pending.append(delta)

    def _flush(self) -> None:
        """Frame everything that is pending. Sync: no cancellation can come in between."""
        pending = self._pending
        if not pending:
            return
        self._log.debug("flush_start", size=self._pending_bytes)
        self._pending = []
        self._pending_bytes = 0
        stream = self._stream
        if stream.first_text_at is None:
            stream.first_text_at = trio.current_time()
        stream.answer.add(pending)
        stream.replay.append(stream.encoder.deltas(pending))
        if self._on_text is not None:
            text = "".join(delta.text for delta in pending if isinstance(delta, Text))
            if text:
                self._on_text(text)
        self._log.debug("flush_done", tokens_sent=len(pending))

    def _clean_up(self) -> None:
        """Frame what was read before the cancel, so that the partial answer is whole."""
        if self._window_is_open:
            self._log.debug("flush_cancelled")
        while True:
            try:
                self._take(self._channel.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        self._log.debug("flush_on_cleanup", size=self._pending_bytes)
        self._flush()
        self._log.debug("cleanup_flush_task")
        self._log.debug("cleanup_buffer")
