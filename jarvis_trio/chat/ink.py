"""How things look: everything that is shown, as rows of a terminal."""

import io
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import ClassVar, Final

from markdown_it import MarkdownIt
from rich.console import COLOR_SYSTEMS, Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement
from rich.segment import Segment
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from jarvis_trio.chat.client import SessionList
from jarvis_trio.chat.safe_text import safe, safe_line
from jarvis_trio.chat.screen import Row

NARROWEST: Final = 20
"""Cells: a terminal that says less is drawn as if it had so many."""

DIM: Final = "dim"
PROMPT: Final = "> "
PROMPT_STYLE: Final = "bold cyan"
THOUGHT: Final = "dim italic"

EMPTY: Final = Row("", 0)


class _Code(CodeBlock):
    """Code as it stands, without a frame: it is copied from the terminal."""

    def __rich_console__(self, _: Console, __: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip()
        yield Syntax(
            code, self.lexer_name, theme=self.theme, word_wrap=True, background_color="default"
        )


class _Answer(Markdown):
    """Markdown in which HTML is text: ``Vec<String>`` keeps its type."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
    }

    def __init__(self, source: str) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        parser = MarkdownIt("commonmark", {"html": False})
        self.parsed = parser.enable("strikethrough").enable("table").parse(source)
        for token in self.parsed:
            for each in (token, *(token.children or ())):
                each.content = safe(each.content)  # entities may have brought new ones


class Ink:
    """Draws for a terminal of the kind that the environment tells of."""

    def __init__(self) -> None:
        self._console = Console(
            file=io.StringIO(), force_terminal=True, highlight=False, markup=False, emoji=False
        )
        self._colours = COLOR_SYSTEMS.get(self._console.color_system or "")

    def rows(self, shown: RenderableType, width: int) -> list[Row]:
        """Return the rows of what is shown; whatever it holds, no text of it is a command."""
        options = self._console.options.update(width=max(NARROWEST, width))
        lines = self._console.render_lines(shown, options, pad=False)
        return [self._row(line) for line in lines]

    def markdown(self, source: str, width: int) -> list[Row]:
        """Return an answer's rows. What cannot be drawn as Markdown is drawn as text."""
        source = safe(source)
        try:
            return self.rows(_Answer(source), width)
        except Exception:  # rich gives up on some of what a model may write
            return self.rows(Text(source), width)

    def thought(self, source: str, width: int) -> list[Row]:
        """Return the rows of a model's thinking."""
        return self.rows(Text(safe(source), THOUGHT), width)

    def prompt(self, text: str, width: int) -> list[Row]:
        """Return the rows of a prompt that was sent, and an empty one on either side."""
        said = Text(PROMPT, PROMPT_STYLE)
        said.append(safe(text), "bold")
        return [EMPTY, *self.rows(said, width), EMPTY]

    def typed(self, text: str) -> Row:
        """Return the row of a line being typed."""
        said = Text(PROMPT, PROMPT_STYLE)
        said.append(text, "default")
        return self._row(said.render(self._console))

    def remark(self, text: str, style: str, width: int) -> list[Row]:
        """Return the rows of what is said about a conversation."""
        return self.rows(Text(safe(text), style), width)

    def sessions(self, found: SessionList, width: int) -> list[Row]:
        """Return a table; the mark stands by those that are answering."""
        if not found.data:
            return self.remark("there is none", DIM, width)
        table = Table(box=None, pad_edge=False, header_style=DIM)
        table.add_column("session", no_wrap=True)
        for name in ("title", "updated", ""):
            table.add_column(name)
        for entry in found.data:
            live = "● live" if entry.active_stream_id else ""
            updated = safe_line(_time(entry.updated_at))
            title = Text(safe_line(entry.title or ""))
            table.add_row(Text(safe_line(entry.id)), title, Text(updated, DIM), Text(live, "green"))
        rows = self.rows(table, width)
        more = "there are more; /sessions TEXT looks for one"
        return [*rows, *(self.remark(more, DIM, width) if found.has_more else [])]

    def _row(self, line: Iterable[Segment]) -> Row:
        if self._console.no_color:
            line = Segment.remove_color(line)
        sent, cells = [], 0
        for text, style, control in line:
            if control:
                continue
            segment = Segment(safe(text).replace("\n", " ").replace("\t", " "))
            cells += segment.cell_length
            if style is None:
                sent.append(segment.text)
            else:
                style = style.update_link(None) if style.link else style  # noqa: PLW2901 - the same
                sent.append(style.render(segment.text, color_system=self._colours))
        return Row("".join(sent), cells)


def _time(given: object) -> str:
    """Return seconds since 1970 as the user's own clock shows them, and all else as it is."""
    if isinstance(given, int | float):
        with suppress(OverflowError, ValueError, OSError):  # a year that no calendar has
            return time.strftime("%Y-%m-%d %H:%M", time.localtime(given))
    return str(given or "")
