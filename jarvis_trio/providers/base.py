"""The seam between the engine and whatever makes the tokens.

Above: the engine, which owns deadlines, cancellation and the session. Below: one model server's
format and its connection. A provider knows nothing of sessions, streams, batching or clients.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from jarvis_trio.events import ChatRequest, Delta, Model


class Answer(Protocol):
    """One answer that an upstream has accepted to give."""

    async def receive(self) -> list[Delta]:
        """Wait for the upstream and return all that has come; empty means a clean end.

        A list, not a delta: what arrived together is handed on together, so that it costs one task
        switch. Before a clean end there was exactly one ``Finish``. The caller sees to it that
        other tasks get their turn: there may be no checkpoint where something has come already.

        Errors: UpstreamError or one of its kind; UpstreamEOFError when the upstream closed
        before its own end marker.
        """
        ...

    def receive_nowait(self) -> list[Delta]:
        """Return what has come, if anything has; without errors, as the answer is given up."""
        ...

    async def gather(self, seconds: float) -> None:
        """Wait ``seconds``, or until so much has come, or the end, that it should be received.

        It takes nothing: the engine calls it between two reads.
        """
        ...


class Provider(Protocol):
    """A model server."""

    name: str
    """What errors and logs call it, such as ``ollama at 127.0.0.1:11434``; holds no secret."""

    default_model: str | None
    """The model that answers when a request names none, once it is known."""

    def chat(self, request: ChatRequest) -> AbstractAsyncContextManager[Answer]:
        """Ask for an answer. Entering waits until the upstream has accepted the request.

        Resources: the upstream connection belongs to the context. Leaving it, by whatever way,
        closes the connection at once and without awaiting anything: when the ``async with`` is
        left, the upstream has been told.

        Errors: on entering, UpstreamError and its kinds, ModelNotFoundError, RequestError (the
        upstream found fault with the request). Deadlines are the caller's, except that for
        dialling.
        """
        ...

    async def run(self) -> None:
        """Do what all its answers need, until cancelled; it runs for as long as there are any."""
        ...

    async def busy(self) -> int | None:
        """Return how many requests the model server works at, whoever made them, if it says so.

        Errors: UpstreamError.
        """
        ...

    async def models(self) -> list[Model]:
        """List what the upstream offers, the default first. Errors: UpstreamError."""
        ...
