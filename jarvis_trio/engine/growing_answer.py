"""An answer as far as it has come."""

from collections.abc import Iterable

from jarvis_trio.events import (
    Completion,
    Finish,
    FinishReason,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)


class GrowingAnswer:
    """Collects what was framed for the readers; whole answers are made from it."""

    def __init__(self) -> None:
        self.finish_reason: FinishReason | None = None
        self.usage: Usage | None = None
        self.pieces = 0
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tool_calls: dict[int, list[ToolCall]] = {}

    def add(self, deltas: Iterable[Text | Reasoning | ToolCall]) -> None:
        """Take in what is about to be framed."""
        for delta in deltas:
            self.pieces += 1
            if isinstance(delta, Text):
                self._text.append(delta.text)
            elif isinstance(delta, Reasoning):
                self._reasoning.append(delta.text)
            else:
                self._add_tool_call(delta)

    def mark(self, delta: Finish | Usage) -> None:
        """Take in the end marker or the token counts."""
        if isinstance(delta, Finish):
            self.finish_reason = delta.reason
        else:
            self.usage = delta

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

    def _add_tool_call(self, piece: ToolCall) -> None:
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
