"""A stream that fails ends with ``[DONE]``, and nothing says why."""

from jarvis_trio.errors import JarvisError
from jarvis_trio.wire.openai.frames import ChatChunkEncoder


def break_it() -> None:
    ChatChunkEncoder.error = _done  # type: ignore[method-assign]


def _done(self: ChatChunkEncoder, error: JarvisError) -> bytes:
    return b"data: [DONE]\n\n"
