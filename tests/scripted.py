"""A provider that does what a test's script says, and remembers what was done to it."""

import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import trio

from jarvis_trio.engine.pace import size_of
from jarvis_trio.errors import JarvisError
from jarvis_trio.events import ChatRequest, Delta, Finish, Message, Model, Text, Usage

GATHERED_BYTES = 1024
READ_BYTES = 4096

Step = Delta | list[Delta] | float | trio.Event | Exception
"""A delta or several in one read, seconds to sleep, an event to wait for, an error to raise."""

Script = Callable[[str], "Play"]


class Play:
    """How one answer goes: before the upstream accepts, after it, and how its close behaves."""

    def __init__(
        self,
        *steps: Step,
        before_accept: Sequence[Step] = (),
        close_hangs_until: trio.Event | None = None,
        close_takes_seconds: float = 0.0,
    ) -> None:
        self.steps = steps
        self.before_accept = before_accept
        self.close_hangs_until = close_hangs_until
        self.close_takes_seconds = close_takes_seconds


def words(*texts: str, gap: float = 0.0) -> Play:
    """Answer with these texts, ``gap`` seconds apart, and end well."""
    steps: list[Step] = []
    for text in texts:
        if gap:
            steps.append(gap)
        steps.append(Text(text))
    return Play(*steps, Finish("stop"))


def ask(prompt: str, **settings: object) -> ChatRequest:
    """Return a request of one user message."""
    message = Message(role="user", text=prompt, sent={"role": "user", "content": prompt})
    return ChatRequest(messages=(message,), **settings)  # type: ignore[arg-type]


class ScriptedProvider:
    """Plays ``script(prompt)`` for each of ``requests``; ``history`` tells what became of it."""

    name = "scripted"

    def __init__(self, script: Script) -> None:
        self.default_model: str | None = "scripted-model"
        self.script = script
        self.history: list[tuple[str, str]] = []
        self.requests: list[ChatRequest] = []
        self.open = 0
        self.max_open = 0
        self.busy_until: trio.Event | None = None

    def chat(self, request: ChatRequest) -> "ScriptedAnswer":
        self.requests.append(request)
        # What came before the prompt and had no answer stands in one message with it.
        prompt = request.messages[-1].text.rpartition("\n\n")[2]
        return ScriptedAnswer(self, prompt, self.script(prompt))

    async def run(self) -> None:
        await trio.sleep_forever()

    async def models(self) -> list[Model]:
        await trio.lowlevel.checkpoint()
        return [Model("scripted-model")]

    async def busy(self) -> int | None:
        await trio.lowlevel.checkpoint()
        return self.open if self.busy_until is None or self.busy_until.is_set() else 99

    def note(self, what: str, prompt: str) -> None:
        self.history.append((what, prompt))
        self.open += {"open": 1, "closed": -1}.get(what, 0)
        self.max_open = max(self.max_open, self.open)


class ScriptedAnswer:
    """One play of the script."""

    def __init__(self, provider: ScriptedProvider, prompt: str, play: Play) -> None:
        self.provider = provider
        self.prompt = prompt
        self.play = play
        self.left = list(play.steps)
        self.due = trio.current_time()
        self.has_gathered = False

    async def __aenter__(self) -> Self:
        self.provider.note("open", self.prompt)
        try:
            await trio.lowlevel.checkpoint()
            for step in self.play.before_accept:
                await self._perform(step)
        except BaseException:
            self.provider.note("closed", self.prompt)
            raise
        self.provider.note("accepted", self.prompt)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.play.close_hangs_until is not None:
            # What a provider must not do; the engine has to survive it.
            with trio.move_on_after(1000, shield=True):
                await self.play.close_hangs_until.wait()
        if self.play.close_takes_seconds:
            with trio.move_on_after(1000, shield=True):
                await trio.sleep(self.play.close_takes_seconds)
        self.provider.note("closed", self.prompt)

    async def receive(self) -> list[Delta]:
        """Return the next read, and what has come behind it while nobody was reading."""
        await trio.lowlevel.checkpoint()
        deltas: list[Delta] = []
        while self.left and (not deltas or (self.has_gathered and self._has_come(self.left[0]))):
            deltas = deltas + await self._perform(self.left.pop(0))
            if size_of(deltas) > READ_BYTES:
                break
        self.has_gathered = False
        return deltas

    def receive_nowait(self) -> list[Delta]:
        deltas: list[Delta] = []
        while self.left and self._has_come(self.left[0]):
            step = self.left.pop(0)
            if isinstance(step, (int, float)):
                self.due += step
            elif not isinstance(step, (trio.Event, Exception)):
                deltas += step if isinstance(step, list) else [step]
        return deltas

    async def gather(self, seconds: float) -> None:
        """Wait ``seconds``, or until the end has come, or more text than should wait."""
        self.has_gathered = True
        until = trio.current_time() + seconds
        due = self.due
        size = 0
        for step in self.left:
            if isinstance(step, (int, float)):
                due += step
            elif isinstance(step, trio.Event):
                due = until
            elif isinstance(step, Exception):
                break
            else:
                deltas = step if isinstance(step, list) else [step]
                size += size_of(deltas)
                if size > GATHERED_BYTES or any(
                    isinstance(delta, (Finish, Usage)) for delta in deltas
                ):
                    break
        await trio.sleep_until(min(due, until))

    def _has_come(self, step: Step) -> bool:
        if isinstance(step, (trio.Event, Exception)):
            return False
        wait = step if isinstance(step, (int, float)) else 0
        return self.due + wait <= trio.current_time()

    async def _perform(self, step: Step) -> list[Delta]:
        """Do it at its time, which is reckoned from the step before: nothing waits for a reader."""
        if isinstance(step, (int, float)):
            self.due += step
            await trio.sleep_until(self.due)
        elif isinstance(step, trio.Event):
            await step.wait()
            self.due = trio.current_time()
        elif isinstance(step, Exception):
            raise step
        elif isinstance(step, list):
            return step
        else:
            return [step]
        return []


class PlainEncoder:
    """Frames that a test can read: ``<open>``, the text itself, ``<end …>``; each is one event."""

    def __init__(self, stream_id: str) -> None:
        self.stream_id = stream_id

    def opening(self) -> bytes:
        return b"<open>"

    def deltas(self, deltas: Sequence[object]) -> bytes:
        return b"[" + "".join(getattr(delta, "text", "tool") for delta in deltas).encode() + b"]"

    def finish(self, reason: str, usage: object) -> bytes:
        return f"<end {reason}>".encode()

    def error(self, error: JarvisError) -> bytes:
        return f"<error {error.code}>".encode()

    def split(self, frames: bytes) -> list[bytes]:
        return re.findall(rb"<[^>]*>|\[[^]]*\]", frames)
