"""What a conversation shows, wherever that is: the seam between it and a terminal or a pipe."""

from collections.abc import Sequence
from typing import Protocol

from jarvis_trio.chat.answer import Piece
from jarvis_trio.chat.client import SessionList, StoredMessage


class View(Protocol):
    """Shows what happens, in the order of the calls; texts may hold anything.

    Above: a conversation. Below: a terminal or a pipe, which may be slow: an answer waits for it.
    It knows nothing of the server. *Errors:* OSError when nobody can see it any more.
    """

    async def prompt(self, text: str) -> None:
        """Show that this prompt is now answered."""
        ...

    async def pieces(self, pieces: Sequence[Piece]) -> None:
        """Show more of the answer."""
        ...

    async def end(self) -> None:
        """Show that no more of the answer will come."""
        ...

    async def note(self, text: str) -> None:
        """Tell something in passing."""
        ...

    async def error(self, text: str) -> None:
        """Tell that something went wrong."""
        ...

    async def sessions(self, found: SessionList) -> None:
        """Show a list of sessions."""
        ...

    async def history(self, messages: Sequence[StoredMessage]) -> None:
        """Show what was said before."""
        ...

    def waiting(self, prompts: Sequence[str]) -> None:
        """Show which prompts wait for their turn."""
        ...
