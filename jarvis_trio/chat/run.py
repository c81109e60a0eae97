"""A chat from its start to its end, at a terminal or in a pipe, and what ends it."""

import errno
import signal
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Final

import httpx
import trio
from msgspec import Struct

from jarvis_trio.chat.client import Client
from jarvis_trio.chat.commands import Commands
from jarvis_trio.chat.conversation import Conversation, new_session_id
from jarvis_trio.chat.editor import Editor
from jarvis_trio.chat.ink import Ink
from jarvis_trio.chat.live_view import LiveView
from jarvis_trio.chat.plain import Lines, PlainView, converse
from jarvis_trio.chat.terminal import PASTE_BEGINS_WITH, PASTE_ENDS_WITH, Terminal
from jarvis_trio.chat.typist import Keyboard, Typist
from jarvis_trio.chat.view import View
from jarvis_trio.errors import ConfigError

LAST_WORDS_SECONDS: Final = 1.0
"""What a terminal that is stuck may take for what stays on it."""

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2


class Start(Struct, frozen=True):
    """What a chat begins with. ``session`` None is a new one."""

    http: httpx.AsyncClient
    session: str | None
    model: str | None
    policy: str | None


class Leaving:
    """The chat's end: its first reason counts, and cancels the rest."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.status: int | None = None

    def leave(self, status: int = 0, reason: str = "the user leaves") -> None:
        """End the chat with that exit status."""
        if self.status is None:
            self.status = status
        self.scope.cancel(reason=reason)

    def leave_by(self, number: int) -> None:
        """End it as a signal does."""
        self.leave(128 + number, signal.Signals(number).name)

    @contextmanager
    def ended_by_lost_files(self, number: int) -> Generator[None, None, None]:
        """Take it for that signal when nobody reads what is written, or the terminal has gone.

        Errors: ConfigError, in a sentence, for what else befalls stdin and stdout.
        """
        try:
            yield
        except* OSError as group:
            for error in _flat(group):
                if error.errno not in (errno.EPIPE, errno.EIO):
                    raise ConfigError(f"the chat cannot go on: {error.strerror}") from error
            self.leave_by(number)


async def chat_in_pipe(start: Start) -> int:
    """Answer line after line; return the exit status."""
    leaving = Leaving()
    endings = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with (
        leaving.ended_by_lost_files(signal.SIGPIPE),
        trio.open_signal_receiver(*endings) as signals,
        leaving.scope,
    ):
        async with start.http, trio.open_nursery() as nursery:
            nursery.start_soon(_leave_by, signals, leaving)
            talk = _conversation(start, PlainView(STDOUT, STDERR), nursery)
            are_answered = await converse(talk, Commands(talk, leaving.leave), Lines(STDIN))
            leaving.leave(0 if are_answered else 1, "all lines are answered")
    return leaving.status or 0


async def chat_at_terminal(start: Start) -> int:
    """Let somebody type; return the exit status."""
    terminal = Terminal(STDIN, STDOUT)
    view = LiveView(terminal, editor := Editor(), Ink())
    leaving = Leaving()
    # Signals outermost: those that are left at the end find the terminal as it was.
    with (
        trio.open_signal_receiver(*_SIGNALS) as signals,
        leaving.ended_by_lost_files(signal.SIGHUP),
        terminal.taken_over(),
    ):
        try:
            with leaving.scope:
                await terminal.write(PASTE_BEGINS_WITH)
                async with start.http, trio.open_nursery() as nursery:
                    talk = _conversation(start, view, nursery)
                    commands = Commands(talk, leaving.leave)
                    typist = Typist(talk, commands, editor, view, terminal.suspend)
                    nursery.start_soon(_obey, signals, leaving, typist, terminal, view)
                    nursery.start_soon(view.run)
                    await view.note(f"session {talk.session_id}; /help lists what there is")
                    if start.session is not None:
                        nursery.start_soon(commands.show_history)
                    view.touch()
                    await typist.run(Keyboard(terminal.read))
                    leaving.leave_by(signal.SIGHUP)
        finally:
            with trio.move_on_after(LAST_WORDS_SECONDS, shield=True):
                await terminal.write(view.last() + PASTE_ENDS_WITH)
    return leaving.status or 0


_SIGNALS: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGWINCH,
    signal.SIGCONT,
)


async def _leave_by(signals: AsyncIterator[int], leaving: Leaving) -> None:
    async for number in signals:
        leaving.leave_by(number)


async def _obey(
    signals: AsyncIterator[int],
    leaving: Leaving,
    typist: Typist,
    terminal: Terminal,
    view: LiveView,
) -> None:
    async for number in signals:
        match number:
            case signal.SIGINT:
                await typist.interrupt()
            case signal.SIGWINCH:
                view.touch()
            case signal.SIGCONT:
                terminal.take()
                view.redraw()
            case _:
                leaving.leave_by(number)


def _conversation(start: Start, view: View, nursery: trio.Nursery) -> Conversation:
    session_id = start.session or new_session_id()
    talk = Conversation(Client(start.http), view, nursery, session_id)
    talk.model, talk.policy = start.model, start.policy
    return talk


def _flat(group: BaseExceptionGroup[OSError]) -> list[OSError]:
    """Return the errors in a group of groups."""
    found: list[OSError] = []
    for each in group.exceptions:
        found += _flat(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
