"""An answer as far as it has come."""

from collections.abc import Iterable
from itertools import groupby

from jarvis_trio.events import (
    Completion,
    Delta,
    Finish,
    FinishReason,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)


class GrowingAnswer:
    """Collects what the readers are sent; whole answers are made from it."""

    def __init__(self) -> None:
        self.finish_reason: FinishReason | None = None
        self.usage: Usage | None = None
        self.pieces = 0
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tool_calls: dict[int, list[ToolCall]] = {}

    def add(self, deltas: Iterable[Delta]) -> list[Text | Reasoning | ToolCall]:
        """Take in one read; return what of it is to be framed, with neighbouring texts joined.

        What is kept is one string for each, as one for each token would be most of a stream.
        """
        added: list[Text | Reasoning | ToolCall] = []
        for kind, run in groupby(deltas, type):
            if issubclass(kind, (Text, Reasoning)):
                texts = [delta.text for delta in run if isinstance(delta, kind) and delta.text]
                if texts:
                    added.append(self._add_text(kind("".join(texts)), len(texts)))
                continue
            for delta in run:
                match delta:
                    case ToolCall():
                        self._add_tool_call(delta)
                        added.append(delta)
                    case Finish():
                        self.finish_reason = delta.reason
                    case Usage():
                        self.usage = delta
        return added

    def completion(self) -> Completion:
        """Return what there is so far."""
        return Completion(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(
                _joined(self._tool_calls[index]) for index in sorted(self._tool_calls)
            ),
            finish_reason=self.finish_reason,
            usage=self.usage,
        )

    def _add_text(self, joined: Text | Reasoning, pieces: int) -> Text | Reasoning:
        self.pieces += pieces
        (self._text if isinstance(joined, Text) else self._reasoning).append(joined.text)
        return joined

    def _add_tool_call(self, piece: ToolCall) -> None:
        self.pieces += 1
        if piece.index in self._tool_calls:
            self._tool_calls[piece.index].append(piece)
        else:
            self._tool_calls[piece.index] = [piece]


def _joined(pieces: list[ToolCall]) -> ToolCall:
    return ToolCall(
        index=pieces[0].index,
        id=next((piece.id for piece in pieces if piece.id), None),
        name=next((piece.name for piece in pieces if piece.name), None),
        arguments="".join(piece.arguments for piece in pieces),
    )
