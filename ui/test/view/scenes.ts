import type { ChatSnapshot, SessionItem } from "../../src/lib/types";
import { answer, emptyChat, prompt } from "./fakeStore";

const CODE = `Here is one way. It walks both lists once, so it takes time in proportion to their length:

\`\`\`python
from collections.abc import Iterable


def merge(left: list[int], right: list[int]) -> list[int]:
    """The items of both, sorted; each list is sorted already."""
    merged, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:  # "<=" keeps it stable
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]
\`\`\`

The standard library has it as \`heapq.merge\`, which is *lazy*. Read more in [the documentation](https://docs.python.org/3/library/heapq.html).

1. Install what you need:

   \`\`\`sh
   python -m venv .venv && .venv/bin/pip install pytest
   \`\`\`

2. Then run the tests.

> Simple is better than complex.

- [x] sorted input
- [ ] unsorted input
`;

const TABLE = `## SQLite and PostgreSQL

Both are **excellent**; they answer different questions.

| | SQLite | PostgreSQL | Notes |
|---|---|---|---:|
| Runs as | a library in your process | a server of its own | see below |
| Writers at once | one | many | with WAL, readers go on |
| Types | dynamic, or STRICT | static, extensible | JSON in both |
| Size | under 1 MB | about 50 MB | 2026 |

### Which one?

Begin with SQLite if **one machine** writes. Move when you need more writers, roles, or replication.

---

A long word: ${"Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft".repeat(2)} and a long address https://example.org/${"path/".repeat(40)}end.
`;

function sessions(count: number): SessionItem[] {
  const titles = [
    "Merge two sorted lists",
    "SQLite or PostgreSQL for a small service with very few writers?",
    "Structured concurrency",
    "Holiday in the mountains",
    "Why does my Dockerfile rebuild everything",
  ];
  return Array.from({ length: count }, (_, n) => ({
    id: `s${n}`,
    title: titles[n % titles.length] ?? "",
    updatedAt: 1_700_000_000 - n * 5000,
    isLive: n === 1,
  }));
}

function chat(change: Partial<ChatSnapshot["conversation"]>, more: Partial<ChatSnapshot> = {}) {
  return {
    ...emptyChat,
    sessions: sessions(8),
    conversation: {
      ...emptyChat.conversation,
      id: "s0",
      title: "Merge two sorted lists",
      ...change,
    },
    ...more,
  } satisfies ChatSnapshot;
}

const talk = [
  prompt("1", "Write a Python function that merges two sorted lists."),
  answer("1", CODE, {
    reasoning:
      "The user wants a merge. Two pointers will do.\n\n- keep it stable\n- show `heapq.merge`",
  }),
  prompt("2", "And now compare SQLite and PostgreSQL in a table, please"),
  answer("2", TABLE),
];

export const scenes: Record<string, () => ChatSnapshot> & { answers: () => ChatSnapshot } = {
  empty: () => ({ ...emptyChat, sessions: sessions(3) }),
  answers: () => chat({ messages: talk }),
  top: () => chat({ messages: talk.slice(0, 2) }),
  many: () =>
    chat({ messages: talk, hasOlder: true }, { sessions: sessions(60), hasMoreSessions: true }),
  live: () =>
    chat({
      isLive: true,
      messages: [
        prompt("1", "What is structured concurrency?"),
        answer("1", "It means that tasks have a", {
          state: "interrupted",
          cause: "superseded",
          note: "a newer prompt took over",
        }),
        prompt("2", "In one sentence."),
        answer("2", "Every task lives inside a block that does not end before", {
          state: "streaming",
          reasoning: "One sentence, then.",
        }),
      ],
    }),
  thinking: () =>
    chat({
      isLive: true,
      messages: [prompt("1", "Hello"), answer("1", "", { state: "thinking" })],
    }),
  trouble: () =>
    chat(
      {
        messages: [
          prompt("1", "Tell me about trio."),
          answer("1", "Trio is a library for", {
            state: "interrupted",
            cause: "stopped",
            note: "stopped in 4 ms, model idle",
          }),
          prompt("2", "Go on"),
          answer("2", "It was written by", {
            state: "failed",
            cause: "upstream_eof",
            trouble: {
              sentence: "The model server closed the connection in the middle of the answer.",
              canRetry: true,
            },
          }),
        ],
      },
      {
        sessionsTrouble: {
          sentence: "The list could not be read: the server is away.",
          canRetry: true,
        },
      },
    ),
  reattaching: () =>
    chat({
      isLive: true,
      messages: [prompt("1", "Hello"), answer("1", "Half an answ", { state: "reattaching" })],
    }),
  signin: () => ({
    ...emptyChat,
    signIn: { state: "needed", sentence: "This key does not open the server." },
  }),
  longprompt: () =>
    chat({
      messages: [prompt("1", "def f():\n    pass\n".repeat(20_000)), answer("1", "That is long.")],
    }),
};
