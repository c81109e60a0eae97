"""What a line that begins with a slash does."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec import Struct

from jarvis_trio.chat.client import ChatError
from jarvis_trio.chat.conversation import POLICIES, SESSION_ID, Conversation, new_session_id

HELP: Final = """\
/sessions [text]  the newest sessions, or those that hold the text
/session ID       continue one (also /switch)
/new [ID]         begin a new one
/policy [NAME]    what a new line does to an answer: interrupt, rollback, enqueue or reject
/stop             stop the answer (also Ctrl-C)
/quit             leave (also Ctrl-D)
Alt-Enter or a paste makes a prompt of several lines. A line that is to begin with a slash takes a
space before it."""

NOT_FOUND: Final = 404

MOST_HISTORY: Final = 10
"""Messages that are shown of a session which is continued."""

_COMMAND: Final = re.compile(r"/(\S*)[ \t]*([^\n]*)")


class Command(Struct, frozen=True):
    """What a line asks for. ``asks_server`` says that it may take long."""

    run: Callable[[], Awaitable[None]]
    asks_server: bool = False


class Commands:
    """Carries commands out; ``leave`` is what /quit does."""

    def __init__(self, conversation: Conversation, leave: Callable[[], None]) -> None:
        self._conversation = conversation
        self.leave = leave
        self._asking = {
            "sessions": self._list,
            "session": self._continue,
            "switch": self._continue,
        }
        self._at_once = {
            "new": self._begin,
            "policy": self._choose,
            "stop": self._stop,
            "help": self._help,
            "quit": self._quit,
            "exit": self._quit,
        }

    def find(self, line: str) -> Command | None:
        """Return what the line asks for; None when it is a prompt."""
        if (match := _COMMAND.fullmatch(line.rstrip())) is None:
            return None
        name, argument = match[1], match[2].strip()
        if name in self._asking:
            return Command(partial(self._asking[name], argument), asks_server=True)
        return Command(partial(self._at_once.get(name, partial(self._unknown, name)), argument))

    async def show_history(self) -> None:
        """Show what was said before in the session that is continued, if it is known."""
        talk = self._conversation
        with suppress(ChatError):  # the first prompt will tell what is wrong
            session_id = talk.session_id
            messages = await talk.client.last_messages(session_id, MOST_HISTORY)
            # What was asked meanwhile would be told again, as past.
            if talk.session_id == session_id and not talk.has_asked:
                await talk.view.history(messages)

    async def _unknown(self, name: str, _: str) -> None:
        await self._conversation.view.error(
            f"there is no command /{name}; /help lists those that there are"
        )

    async def _list(self, text: str) -> None:
        view = self._conversation.view
        try:
            await view.sessions(await self._conversation.client.sessions(text))
        except ChatError as error:
            if error.http_status == NOT_FOUND:
                await view.error("this server keeps no list of sessions; a newer one does")
            else:
                await view.error(error.message)

    async def _continue(self, session_id: str) -> None:
        talk = self._conversation
        if not await self._may_leave_for(session_id):
            return
        try:
            messages = await talk.client.last_messages(session_id, MOST_HISTORY)
        except ChatError as error:
            await talk.view.error(f"still in {talk.session_id}: {error.message}")
            return
        if talk.current is not None:  # a line was typed meanwhile
            await talk.view.error(f"still in {talk.session_id}, which is answering")
            return
        talk.session_id = session_id
        await talk.view.history(messages)
        await talk.view.note(f"session {session_id}")

    async def _begin(self, session_id: str) -> None:
        session_id = session_id or new_session_id()
        if await self._may_leave_for(session_id):
            self._conversation.session_id = session_id
            await self._conversation.view.note(f"session {session_id}")

    async def _may_leave_for(self, session_id: str) -> bool:
        talk = self._conversation
        if not SESSION_ID.fullmatch(session_id):
            await talk.view.error(
                "a session's name is 1 to 128 of the characters A-Z a-z 0-9 . _ : -"
            )
            return False
        if talk.current is not None:
            await talk.view.error("an answer is being written; /stop it first")
            return False
        return True

    async def _choose(self, name: str) -> None:
        talk = self._conversation
        if name in POLICIES:
            talk.policy = name
        elif name:
            await talk.view.error(f"{name!r} is no policy; there are {', '.join(POLICIES)}")
            return
        await talk.view.note(f"policy {talk.policy or 'as the server is set'}")

    async def _stop(self, _: str) -> None:
        if not self._conversation.stop():
            await self._conversation.view.note("nothing is being answered")

    async def _help(self, _: str) -> None:
        await self._conversation.view.note(HELP)

    async def _quit(self, _: str) -> None:
        self.leave()
