"""What a stream leaves in the history: its turn begun, and once, in whatever way, ended.

Only sessions that their client has named are kept. Ending is sync, so that the write has its place
before those of the stream's successor; a stream that is quarantined has ended by that.
"""

import time

from msgspec.structs import replace

from jarvis_trio.engine.conversation import kept_answer, newest, next_turn, title_of
from jarvis_trio.engine.history import History, Job
from jarvis_trio.engine.stream import LiveStream, Turn
from jarvis_trio.events import Cause, ChatRequest
from jarvis_trio.store.base import BeginTurn, EndTurn, RemoveTurn, ReplaceTurns


class Recorder:
    """Writes turns. Above: the runner and the sessions. Below: the history."""

    def __init__(self, history: History, token_budget: int) -> None:
        self._history = history
        self._token_budget = token_budget

    async def begin(self, stream: LiveStream) -> ChatRequest:
        """Return what to ask the upstream: the request, with what is stored before it."""
        prompt, request = stream.prompt, stream.prompt.request
        if prompt.is_kept:
            if request.continues:
                stored = await self._history.conversation(
                    prompt.owner, prompt.session_id, stream.replaces
                )
                if stored is None:
                    stream.misses_history = True
                    stream.log.warning("history_missing", reason=self._history.trouble)
                else:
                    messages = next_turn(stored, request.messages, self._token_budget)
                    request = replace(request, messages=messages)
            self._put_beginning(stream)
        return request

    def take_place(self, stream: LiveStream) -> None:
        """Take out what the stream's turn replaces, once its answer has begun. Sync, idempotent.

        Until then the model server may refuse it, or be away: that costs nobody an old answer.
        """
        if stream.turn is Turn.BEGUN and (stream.answer.pieces or stream.cause is Cause.COMPLETED):
            stream.turn = Turn.STANDS
            if stream.replaces is not None:
                prompt = stream.prompt
                self._history.put(ReplaceTurns(prompt.owner, prompt.session_id, stream.id))

    async def keep(self, stream: LiveStream) -> None:
        """End the turn, and wait until that is in the store, unless the store is in trouble."""
        job = self.end(stream)
        if job is not None:
            await self._history.wait_for(job)

    def end(self, stream: LiveStream) -> Job | None:
        """End the turn of a stream that has its cause. Sync and idempotent."""
        if not stream.prompt.is_kept or stream.started_at is None or stream.turn is Turn.ENDED:
            return None
        prompt = stream.prompt
        if stream.turn is Turn.NONE:
            self._put_beginning(stream)
        if stream.is_rolled_back:
            stream.turn = Turn.ENDED
            return self._history.put(RemoveTurn(prompt.owner, prompt.session_id, stream.id))
        self.take_place(stream)
        stream.turn = Turn.ENDED
        cause = stream.cause or Cause.SHUTDOWN
        answer, state = kept_answer(stream.answer.completion(), cause)
        return self._history.put(
            EndTurn(prompt.owner, prompt.session_id, stream.id, answer, state, cause, time.time())
        )

    def _put_beginning(self, stream: LiveStream) -> None:
        prompt = stream.prompt
        # What the client sent of them is not kept.
        messages = tuple(replace(message, sent={}) for message in prompt.request.messages)
        stream.turn = Turn.BEGUN
        self._history.put(
            BeginTurn(
                prompt.owner,
                prompt.session_id,
                stream.id,
                messages,
                newest(messages),
                title_of(messages),
                time.time(),
                stream.replaces,
            )
        )
