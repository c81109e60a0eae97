"""What the built-in model says: one reply to the last thing that the user said.

Pure and deterministic: the same messages, the same reply. Only the first 2,000 characters of a
prompt are read. System messages change nothing.
"""

import re
import zlib
from collections.abc import Sequence

from jarvis_trio.events import Message
from jarvis_trio.providers.simulated_arithmetic import work_out
from jarvis_trio.providers.simulated_essay import essay, poem

READ_CHARS = 2000
QUOTE_CHARS = 60
DEFAULT_PARAGRAPHS = 8
VERY_LONG_PARAGRAPHS = 24
MAX_PARAGRAPHS = 200
WORDS_PER_PARAGRAPH = 80

_NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBER = rf"(?:[0-9][0-9,]{{0,8}}|{'|'.join(_NUMBERS)})"
_UNIT = r"(?:paragraphs?|stanzas?|verses?|words?)"
_PROSE = "essays?|story|article|paragraphs|long (?:text|answer|reply|explanation)"
_VERSE = "poem|ballad|song|verses|stanzas"
_CODE = "function|code|program|script|snippet"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


BLANKS = _pattern(r"[^\S\n]+")
COUNT = _pattern(rf"\b(?P<number>{_NUMBER})[\s-]+(?:(?:long|short)\s+)?(?P<unit>{_UNIT})\b")
VERY_LONG = _pattern(
    r"\b(?:(?:very|really|extremely)[\s,]+long|longest|as long as (?:you can|possible))\b"
)
# The first of the nouns after the verb decides: "an essay about code" is no code.
WRITING = _pattern(
    r"\b(?:write|compose|draft|tell|give|create|generate|make|produce|show|need|want)\b"
    rf"(?:\W+\w+){{0,9}}?\W+(?P<kind>{_PROSE}|{_VERSE}|{_CODE})\b"
)
EXPLAINING = _pattern(r"\b(?:explain|describe|discuss)\b.*\b(?P<kind>paragraphs)\b")
# A number takes no comma here: with one, "1,1,1,1" could be read in exponentially many ways.
LEADING_NOUN = _pattern(
    r"^(?:(?:an?|the|please|very|really|extremely|long|short|nice|detailed|paragraph|word|[0-9]+"
    rf"|{'|'.join(_NUMBERS)})[\s,-]+)*(?P<kind>{_PROSE}|{_VERSE})\b"
)
TOPIC = _pattern(
    r"\b(?:about|on|regarding|explain|describe|discuss)\s+"
    rf"(?!{_NUMBER}[\s-]+{_UNIT})(?P<topic>.+)"
)
# Two letters before the full stop, so that "the U.S. economy" is not cut.
TOPIC_END = _pattern(
    r"(?<=\w\w)[.?!;:](?:\s|$)|,?\s+please\b"
    rf"|,?\s+(?:in|with|using|of)\s+(?:\S+\s+){{0,3}}?{_UNIT}\b"
)
JAVASCRIPT = _pattern(r"\b(?:javascript|js|node)\b")

IDENTITY = _pattern(
    r"\b(?:who|what) (?:exactly )?are you\b|\byour name\b|\bwho (?:made|built) you\b"
    r"|\b(?:what|which) (?:ai |language )?model (?:are|is|am|do|runs|answers)\b"
    r"|\bare you (?:an? |the )?(?:real|human|robot|bot|ai|chatgpt|gpt|llm|language model|simulat)"
    r"|\bwhat can you do\b"
)
RECALL = _pattern(
    r"\bwhat (?:did|have) i (?:just )?(?:say|said|ask|asked|write|written|tell|told)\b"
    r"|\bmy (?:last|previous) (?:message|question|prompt)\b"
)
GREETING = _pattern(
    r"(?:hi|hello|hey|hej|hallo|moin|servus|greetings|good (?:morning|afternoon|evening))\b"
)
THANKS = _pattern(r"(?:thanks|thank you|thx|cheers|danke|tak)\b")

CONNECT = (
    "To talk to a real model, restart me with `JARVIS_UPSTREAM=ollama:http://127.0.0.1:11434` for"
    " Ollama, or `JARVIS_UPSTREAM=openai:http://127.0.0.1:8080/v1` for any server that speaks"
    " OpenAI's format."
)
ABILITIES = (
    "What I can do:\n\n"
    '- work out sums, such as "What is 12 * 7 - 3?"\n'
    '- write at length: "Write a 10 paragraph essay about the sea"\n'
    "- be stopped halfway, or interrupted by your next message"
)
IDENTITY_REPLY = (
    "I am jarvis-simulated: a simulation built into jarvis_trio, not a language model. I answer"
    " from templates, always the same to the same prompt, so that you can try streaming, stopping"
    f" and interrupting without a model server.\n\n{CONNECT}\n\n{ABILITIES}"
)
GREETING_REPLY = (
    "Hello, and welcome to jarvis_trio! I am its built-in simulated model, here so that you can"
    ' try the server before you connect a real one. Ask me "What is 2+2?", or for a long essay,'
    " and press Stop in the middle of it."
)
THANKS_REPLY = (
    "You are welcome! I am only the simulated model, but it is nice to be thanked. Is there"
    " anything else you would like to try?"
)
SUM_NOTE = "I am a simulated model, but that sum was really worked out."
RECALL_REPLY = 'Just before this, you said: "{quote}". That much a simulated model can do.'
NOTHING_TO_RECALL_REPLY = (
    "This is the first message of yours that I can see, so you have said nothing before it."
)
EMPTY_REPLY = (
    'That message had no text in it, so there is nothing that I could answer. Try "What is'
    ' 2+2?"; I am the simulated model built into jarvis_trio.'
)
FALLBACK_OPENINGS = (
    'You wrote "{quote}", and it deserves a better answer than I can give: I am the simulated model'
    " built into jarvis_trio, and I do not know things, I only stream them nicely.",
    'A real model would have something to say to "{quote}". I am a simulated one, built into'
    " jarvis_trio, so all I can honestly do is show you how an answer arrives.",
    'I read "{quote}", but I cannot understand it: this is the simulated model built into'
    " jarvis_trio, which answers from a handful of templates.",
)
CODE_REPLY = """Here is a small, generic starting point for "{quote}"; I am a simulated model, so \
the details are yours to fill in:

```{language}
{code}
```

Run it as it is first, then change one thing at a time."""
CODE = {
    "python": '''def process(items):
    """Return each item once, in the order of first appearance."""
    return list(dict.fromkeys(items))


print(process([3, 1, 3, 2]))''',
    "javascript": """// Returns each item once, in the order of first appearance.
function process(items) {
  return [...new Set(items)];
}

console.log(process([3, 1, 3, 2]));""",
}


def reply(messages: Sequence[Message]) -> str:
    """Answer a conversation; never empty."""
    said = [message.text for message in messages if message.role == "user"]
    # Long runs of blanks would cost the patterns below quadratic time.
    prompt = BLANKS.sub(" ", said[-1].strip()[:READ_CHARS]) if said else ""
    if not prompt:
        return EMPTY_REPLY
    earlier = said[-2] if len(said) > 1 else None
    return _task(prompt) or _small_talk(prompt, earlier) or _fallback(prompt)


def _task(prompt: str) -> str | None:
    if (result := work_out(prompt)) is not None:
        return f"{result}\n\n{SUM_NOTE}"
    for pattern in (WRITING, EXPLAINING, LEADING_NOUN):
        if (found := pattern.search(prompt)) is not None:
            return _write(prompt, found["kind"].lower())
    return None


def _small_talk(prompt: str, earlier: str | None) -> str | None:
    few_words = len(prompt.split()) <= 6
    if IDENTITY.search(prompt):
        return IDENTITY_REPLY
    if RECALL.search(prompt):
        return RECALL_REPLY.format(quote=quoted(earlier)) if earlier else NOTHING_TO_RECALL_REPLY
    if few_words and GREETING.match(prompt):
        return GREETING_REPLY
    if few_words and THANKS.match(prompt):
        return THANKS_REPLY
    return None


def _fallback(prompt: str) -> str:
    # hash() of a text differs from one process to the next.
    seed = zlib.crc32(prompt.encode("utf-8", "replace"))
    opening = FALLBACK_OPENINGS[seed % len(FALLBACK_OPENINGS)].format(quote=quoted(prompt))
    return f"{opening}\n\n{ABILITIES}\n\n{CONNECT}"


def quoted(text: str, limit: int = QUOTE_CHARS) -> str:
    """Return the beginning of a text on one line, cut at a word if there is one, safe to print."""
    # Joiners are not printable, but letters and emoji fall apart without them.
    start = text[:READ_CHARS].replace('"', "'").replace("`", "'")
    clean = "".join(c if c.isprintable() or c in "\u200c\u200d" else " " for c in start)
    line = " ".join(clean.split())
    if len(line) <= limit:
        return line
    return f"{line[:limit].rsplit(' ', 1)[0]}…"


def _write(prompt: str, kind: str) -> str:
    if kind in _CODE.split("|"):
        language = "javascript" if JAVASCRIPT.search(prompt) else "python"
        return CODE_REPLY.format(quote=quoted(prompt), language=language, code=CODE[language])
    count = _paragraphs(prompt)
    if kind in _VERSE.split("|"):
        return poem(_topic(prompt) or "the sea", count)
    return essay(_topic(prompt) or "the art of conversation", count)


def _paragraphs(prompt: str) -> int:
    if (count := COUNT.search(prompt)) is None:
        return VERY_LONG_PARAGRAPHS if VERY_LONG.search(prompt) else DEFAULT_PARAGRAPHS
    written = count["number"].lower().replace(",", "")
    number = _NUMBERS.index(written) + 1 if written in _NUMBERS else int(written)
    if count["unit"].lower().startswith("word"):
        number = round(number / WORDS_PER_PARAGRAPH)
    return min(max(number, 1), MAX_PARAGRAPHS)


def _topic(prompt: str) -> str:
    if (found := TOPIC.search(prompt)) is None:
        return ""
    topic = TOPIC_END.split(found["topic"], maxsplit=1)[0].strip(" \"'“”.,!?")
    return re.sub(r"\bmy\b", "your", quoted(topic).rstrip("…"))
