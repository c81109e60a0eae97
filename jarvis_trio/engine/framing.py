"""From deltas to frames: one frame for all that one read of the upstream brought.

How much that is, and so how many frames there are, is :mod:`pace`'s to say. All of it is sync:
between reading and framing there is no await, so that whatever is cancelled, text is never
reordered, lost or framed twice.
"""

from collections.abc import Callable

import trio

from jarvis_trio.engine.pace import size_of
from jarvis_trio.engine.stream import LiveStream
from jarvis_trio.events import Delta, Text


class Framer:
    """Gives frames to a stream's readers, and the text of each, if it has some, to ``on_text``."""

    def __init__(self, stream: LiveStream, on_text: Callable[[str], None] | None) -> None:
        self._stream = stream
        self._on_text = on_text
        self._last_bytes = 0

    def frame(self, deltas: list[Delta]) -> int:
        """Make a frame of all the text, and return how many bytes of text that is."""
        stream = self._stream
        pieces_before = stream.answer.pieces
        added = stream.answer.add(deltas)
        if not added:
            return 0
        frame = stream.encoder.deltas(added)
        stream.log.debug("flush_start", size=len(frame))
        if stream.first_text_at is None:
            stream.first_text_at = trio.current_time()
        stream.replay.append(frame)
        if self._on_text is not None:
            text = "".join(delta.text for delta in added if isinstance(delta, Text))
            if text:
                self._on_text(text)
        stream.log.debug("flush_done", tokens_sent=stream.answer.pieces - pieces_before)
        return size_of(added)

    def frame_last(self, deltas: list[Delta]) -> None:
        """Frame what had come by the time of a cancel, so that the partial answer is whole."""
        self._last_bytes = self.frame(deltas)

    def clean_up(self) -> None:
        """Tell the log that a cancel has ended it, in the words of the original stability work."""
        log = self._stream.log
        log.debug("flush_on_cleanup", size=self._last_bytes)
        log.debug("cleanup_flush_task")
        log.debug("cleanup_buffer")
