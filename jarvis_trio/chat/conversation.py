"""A session and its prompts, as one person types them."""

import re
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from jarvis_trio.chat.client import Client, Question
from jarvis_trio.chat.exchange import Exchange
from jarvis_trio.chat.view import View

SESSION_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
POLICIES: Final = ("interrupt", "rollback", "enqueue", "reject")


def new_session_id() -> str:
    """Make a name that no other session has."""
    return f"chat-{secrets.token_hex(6)}"


class Conversation:
    """Sends each prompt at once, whatever else is being answered: what that does is the server's.

    ``policy`` and ``model`` None leave it to the server. The exchanges run in ``nursery``.
    """

    def __init__(
        self,
        client: Client,
        view: View,
        nursery: trio.Nursery,
        session_id: str,
    ) -> None:
        self.client = client
        self.view = view
        self.session_id = session_id
        self.policy: str | None = None
        self.model: str | None = None
        self.has_asked = False
        self._nursery = nursery
        self._exchanges: deque[Exchange] = deque()

    @property
    def current(self) -> Exchange | None:
        """The exchange that is being shown; None when all is answered."""
        return self._exchanges[0] if self._exchanges else None

    def say(self, prompt: str) -> Exchange:
        """Send a prompt. Sync: nothing is waited for."""
        before = self._exchanges[-1] if self._exchanges else None
        question = Question(prompt, self.session_id, self.model, self.policy)
        exchange = Exchange(question, before)
        self._exchanges.append(exchange)
        self.has_asked = True
        self._nursery.start_soon(self._run, exchange)
        self._tell_who_waits()
        return exchange

    def stop(self) -> bool:
        """Stop what is being answered; say whether anything is."""
        if (exchange := self.current) is None:
            return False
        self._nursery.start_soon(exchange.stop, self.client, self.view)
        return True

    def start(self, command: Callable[[], Awaitable[None]]) -> None:
        """Do something of the user's meanwhile."""
        self._nursery.start_soon(command)

    async def _run(self, exchange: Exchange) -> None:
        await exchange.run(self.client, self.view)
        self._exchanges.remove(exchange)
        self._tell_who_waits()

    def _tell_who_waits(self) -> None:
        waiting = [each.question.prompt for each in self._exchanges if not each.is_shown]
        self.view.waiting(waiting if len(self._exchanges) > 1 else [])
