// How what the server has is laid over the turns that the page shows: pages of the history, and
// streams that live. Pure: what has not changed stays the same object.

import { KILLED_NOTE, NOT_KEPT_NOTE, outcomeStored } from "./notes";
import { answerOf, named, newTurn, originOf, promptOf, same, type Turn, withAnswer } from "./turns";
import type { AnswerMessage, Message } from "./types";
import type { MessageCard, SessionCard } from "./wire";

/**
 * Lay a page of the history, oldest first, over what the page shows.
 *
 * 1. A turn of the history takes the place of the page's own of that stream, and its keys; one that
 *    the page sent without hearing its name is known by its prompt's text.
 * 2. What is being read here (`reading`) stays as it is; a prompt it did not know is put before it.
 * 3. Older turns than the page stay, if it joins on to them (`hasOlder`: there are such).
 * 4. What never began at the server stays where it is, if it is not only told to come: then as long
 *    as it is (`live`). Anything else that the history does not have is gone.
 */
export function layOver(
  shown: readonly Turn[],
  cards: readonly MessageCard[],
  hasOlder: boolean,
  reading: ReadonlySet<string>,
  live: ReadonlySet<string>,
): readonly Turn[] {
  const known = new Map(shown.map((turn) => [turn.streamId ?? "", turn]));
  const nameless = shown.filter((turn) => turn.streamId === null);
  let joins = false;
  const stored = turnsOf(cards).map((turn, index) => {
    let match = known.get(turn.streamId ?? "");
    if (match === undefined) {
      const text = promptOf(turn)?.text;
      const index = nameless.findIndex((one) => promptOf(one)?.text === text);
      match = index < 0 ? undefined : nameless.splice(index, 1)[0];
    }
    joins ||= match?.seq != null;
    if (match === undefined) return turn;
    const whole = index === 0 && hasOlder ? withBeginning(turn, match) : turn;
    return reading.has(match.key) ? join(match, whole) : replace(match, whole);
  });
  const first = cards[0]?.seq ?? Number.POSITIVE_INFINITY;
  const taken = new Set(stored.map((turn) => turn.key));
  const result = [...stored];
  let anchor: string | null = null;
  const older: Turn[] = [];
  for (const [index, turn] of shown.entries()) {
    if (taken.has(turn.key)) {
      anchor = turn.key;
    } else if (turn.seq !== null && turn.seq < first && hasOlder && joins) {
      older.push(turn);
    } else if (reading.has(turn.key)) {
      result.push(turn);
      anchor = turn.key;
    } else if (!turn.isKept && (live.has(turn.streamId ?? "") || !isOnlyTold(turn))) {
      const next = shown.slice(index).find((one) => taken.has(one.key));
      const place = result.findIndex((one) => one.key === (anchor ?? next?.key));
      // What the server has named is older than all that the page had not heard of.
      const otherwise = turn.streamId === null ? result.length : 0;
      result.splice(place < 0 ? otherwise : place + (anchor === null ? 0 : 1), 0, turn);
      anchor = turn.key;
    }
  }
  return settled(shown, [...older, ...result]);
}

/** The history, oldest first, without what `reading` replaces: that is there until a first piece. */
export function withoutReplaced(
  cards: readonly MessageCard[],
  reading: readonly Turn[],
): readonly MessageCard[] {
  const isGoing = (card: MessageCard) =>
    reading.some((turn) => turn.replaces === originOf(card) && turn.streamId !== card.streamId);
  const end = cards.findIndex(isGoing);
  return end < 0 ? cards : cards.slice(0, end);
}

/** Nobody here has sent it, or reads it: only the server's word says that it is to come. */
function isOnlyTold(turn: Turn): boolean {
  const state = answerOf(turn)?.state;
  return promptOf(turn) === null || state === "queued" || state === "thinking";
}

/**
 * Lay what lives at the server, and is not in its history, over the turns.
 *
 * 1. What is being read here (`reading`) stays as it is.
 * 2. The server's word counts more than what was made of a loss, a refused successor, or a Stop that
 *    did not get through: what it names is to come.
 * 3. One that the page sent without hearing its name is known by its prompt's text.
 * 4. Among themselves they are in the server's order.
 */
export function withLive(
  shown: readonly Turn[],
  { streams, prompts }: SessionCard,
  reading: ReadonlySet<string>,
): readonly Turn[] {
  const begun = new Set(shown.flatMap((turn) => (turn.seq === null ? [] : [turn.streamId])));
  const coming = streams.filter((streamId) => !begun.has(streamId));
  const free = shown.filter((turn) => turn.streamId === null && !reading.has(turn.key));
  const found = coming.map((streamId) => {
    const text = prompts.get(streamId) ?? null;
    const waits = streamId !== streams[0];
    const sent = free.findIndex((turn) => text !== null && promptOf(turn)?.text === text);
    const mine =
      shown.find((turn) => turn.streamId === streamId) ??
      (sent < 0 ? undefined : free.splice(sent, 1)[0]);
    if (mine === undefined) return newTurn(streamId, text, streamId, waits);
    return reading.has(mine.key) ? mine : revived(mine, text, streamId, waits);
  });
  const keys = new Set(found.map((turn) => turn.key));
  const places = shown.filter((turn) => keys.has(turn.key)).length;
  const inOrder = found.values();
  const rest = found.slice(places);
  const turns = shown.map((turn) => (keys.has(turn.key) ? (inOrder.next().value ?? turn) : turn));
  return settled(shown, [...turns, ...rest]);
}

/** It is to come, whatever was made of it here; one that is being stopped is. */
function revived(turn: Turn, text: string | null, streamId: string, waits: boolean): Turn {
  const whole = promptOf(turn) === null ? newTurn(turn.key, text, streamId, waits) : turn;
  if (answerOf(turn)?.state === "stopping") return named(turn, streamId);
  const state = waits ? "queued" : "thinking";
  return withAnswer(named(whole, streamId), { state, cause: null, note: null, trouble: null });
}

/** Put an older page of the history, oldest first, before the turns. */
export function putBefore(shown: readonly Turn[], cards: readonly MessageCard[]): readonly Turn[] {
  const older = turnsOf(cards);
  const [first, ...rest] = shown;
  const last = older.at(-1);
  if (first === undefined || last === undefined || last.streamId !== first.streamId) {
    return [...older, ...shown];
  }
  // The border of two pages went through a turn.
  const whole = { ...first, messages: [...last.messages, ...first.messages], seq: last.seq };
  return [...older.slice(0, -1), whole, ...rest];
}

function turnsOf(cards: readonly MessageCard[]): Turn[] {
  const turns: Turn[] = [];
  for (const card of cards) {
    const message = messageOf(card);
    if (message === null) continue;
    const last = turns.at(-1);
    if (last !== undefined && last.streamId === card.streamId) {
      turns[turns.length - 1] = { ...last, messages: [...last.messages, message] };
    } else {
      const { streamId, seq, replaces } = card;
      turns.push({ key: streamId, streamId, messages: [message], seq, isKept: true, replaces });
    }
  }
  return turns.map((turn) => {
    const answer = answerOf(turn);
    return answer === null ? turn : { ...turn, key: answer.key };
  });
}

/** A message to show; instructions and the results of tools are none. */
function messageOf(card: MessageCard): Message | null {
  const { streamId, text, reasoning } = card;
  const key = `${streamId}-${card.seq}`;
  if (card.role === "user") return { key, role: "user", text, streamId };
  if (card.role !== "assistant") return null;
  return { key, role: "assistant", text, reasoning, streamId, ...outcomeStored(card) };
}

/** The border of two pages may go through a turn, of which more is shown than the page has. */
function withBeginning(stored: Turn, shown: Turn): Turn {
  const missing = shown.messages.length - stored.messages.length;
  if (missing <= 0) return stored;
  const messages = [...shown.messages.slice(0, missing), ...stored.messages];
  return { ...stored, messages, seq: shown.seq };
}

/** What is being read here, with what the history knows of its beginning. */
function join(shown: Turn, stored: Turn): Turn {
  const messages =
    shown.messages.length < stored.messages.length
      ? [...stored.messages.slice(0, stored.messages.length - 1), ...shown.messages.slice(-1)]
      : shown.messages;
  return { ...named({ ...shown, messages }, stored.streamId), seq: stored.seq, isKept: true };
}

function replace(shown: Turn, stored: Turn): Turn {
  const mine = answerOf(shown);
  const messages = stored.messages.map((message, index) => {
    const fromEnd = index - stored.messages.length;
    const old = shown.messages.at(fromEnd);
    if (old === undefined || old.role !== message.role) return message;
    if (message.role === "user") return { ...message, key: old.key };
    const kept = old === mine ? keepSaid(mine, message) : message;
    return { ...kept, key: old.key };
  });
  const merged = messages.map((message) => {
    const old = shown.messages.find((one) => one.key === message.key);
    return old !== undefined && same(old, message) ? old : message;
  });
  const key = mine === null ? stored.key : shown.key;
  return { ...stored, key, messages: merged };
}

/** The page saw more of the end than the history tells, and of a killed server more of the text. */
function keepSaid(mine: AnswerMessage, stored: AnswerMessage): AnswerMessage {
  if (stored.note === KILLED_NOTE && mine.text.length > stored.text.length) {
    const { text, reasoning } = mine;
    return { ...stored, text, reasoning, note: NOT_KEPT_NOTE };
  }
  if (mine.state !== stored.state || mine.cause !== stored.cause) return stored;
  // It saw what a Stop did, and what exactly had failed.
  const trouble = stored.trouble === null ? null : (mine.trouble ?? stored.trouble);
  return { ...stored, note: mine.note ?? stored.note, trouble };
}

/** `turns`, with the objects of `shown` where they are equal. */
function settled(shown: readonly Turn[], turns: readonly Turn[]): readonly Turn[] {
  const before = new Map(shown.map((turn) => [turn.key, turn]));
  const result = turns.map((turn) => {
    const old = before.get(turn.key);
    const isSame =
      old !== undefined &&
      old.messages.length === turn.messages.length &&
      old.messages.every((message, index) => message === turn.messages[index]) &&
      old.streamId === turn.streamId &&
      old.seq === turn.seq &&
      old.isKept === turn.isKept &&
      old.replaces === turn.replaces;
    return isSame ? old : turn;
  });
  const isSame =
    result.length === shown.length && result.every((turn, index) => turn === shown[index]);
  return isSame ? shown : result;
}
