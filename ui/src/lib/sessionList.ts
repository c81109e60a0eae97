// The conversations, the last updated first: searched, paged, renamed, and read again every few
// seconds while somebody can see them.

import type { Api } from "./api";
import type { Environment, Undo } from "./environment";
import { asApiError } from "./errors";
import type { SessionItem, Trouble } from "./types";
import type { SessionCard } from "./wire";

export const POLL_MS = 4_000;
const SEARCH_PAUSE_MS = 250;
/** What has just happened is soon in the list; more of it meanwhile is one more reading. */
const NEWS_PAUSE_MS = 300;

export interface ListHost {
  readonly environment: Environment;
  readonly api: Api;
  changed(): void;
  /** The server has answered, perhaps with the first page of the list. */
  heard(sessions: readonly SessionCard[]): void;
}

export class SessionList {
  search = "";
  /** Why the list could not be read. */
  #readTrouble: Trouble | null = null;
  /** Why the last change was not made: said until the next one, or a search. */
  #changeTrouble: Trouble | null = null;
  #items: readonly SessionItem[] = [];
  #cursor: string | null = null;
  /** What they were searched for. */
  #searched = "";
  #isRunning = false;
  #isMoreComing = false;
  /** They are being deleted, and not shown any more. */
  readonly #removed = new Set<string>();
  /** Grows with each reading that begins: what an older one brings is out of date. */
  #reading = 0;
  #undo: Undo = () => undefined;
  readonly #host: ListHost;

  constructor(host: ListHost) {
    this.#host = host;
  }

  get items(): readonly SessionItem[] {
    return this.#items;
  }

  get trouble(): Trouble | null {
    return this.#readTrouble ?? this.#changeTrouble;
  }

  get hasMore(): boolean {
    return this.#cursor !== null;
  }

  /** Read, and go on reading until `stop`. */
  start(): void {
    this.#isRunning = true;
    this.soon(0);
  }

  stop(): void {
    this.#isRunning = false;
    this.#reading++;
    this.#undo();
  }

  /** Forget all of it. */
  clear(): void {
    this.stop();
    this.#items = [];
    this.#cursor = null;
    this.search = "";
    this.#readTrouble = null;
    this.#changeTrouble = null;
  }

  /** Read the list again, after a moment. A hidden tab does when it is seen again. */
  soon(milliseconds = NEWS_PAUSE_MS): void {
    this.#undo();
    if (!this.#isRunning) return;
    this.#undo = this.#host.environment.after(milliseconds, () => {
      if (this.#host.environment.isVisible()) void this.#read();
    });
  }

  find(search: string): void {
    this.search = search;
    this.#changeTrouble = null;
    this.#reading++;
    this.soon(SEARCH_PAUSE_MS);
    this.#host.changed();
  }

  /** Read the next page. */
  async more(): Promise<void> {
    const cursor = this.#cursor;
    const search = this.#searched;
    if (cursor === null || this.#isMoreComing) return;
    this.#isMoreComing = true;
    try {
      const page = await this.#host.api.sessions(search, cursor);
      if (cursor === this.#cursor && search === this.#searched) {
        const ids = new Set(this.#items.map((item) => item.id)); // a poll may have had them
        const more = page.sessions.map(itemOf).filter((item) => !ids.has(item.id));
        this.#cursor = page.nextCursor;
        this.#show([...this.#items, ...more]);
      }
    } catch (error) {
      this.#readTrouble = asApiError(error).trouble;
    } finally {
      this.#isMoreComing = false;
      this.#host.changed();
    }
  }

  async rename(sessionId: string, title: string): Promise<void> {
    const old = this.#items;
    this.#reading++;
    this.#show(old.map((item) => (item.id === sessionId ? { ...item, title } : item)));
    this.#host.changed();
    await this.#change(this.#host.api.rename(sessionId, title));
  }

  /** Delete one, when what is live in it has been left. */
  async remove(sessionId: string, leave: () => Promise<void>): Promise<void> {
    this.#removed.add(sessionId);
    this.#show(this.#items);
    this.#host.changed();
    await leave();
    await this.#change(this.#host.api.remove(sessionId));
    this.#removed.delete(sessionId);
  }

  async #change(change: Promise<unknown>): Promise<void> {
    this.#changeTrouble = null;
    try {
      await change;
    } catch (error) {
      const failure = asApiError(error);
      if (failure.status !== 404) this.#changeTrouble = failure.trouble;
    }
    this.soon(0);
    this.#host.changed();
  }

  async #read(): Promise<void> {
    const reading = ++this.#reading;
    try {
      const page = await this.#host.api.sessions(this.search, null);
      if (reading !== this.#reading) return;
      this.#readTrouble = null;
      this.#lay(page.sessions.map(itemOf), page.nextCursor);
      this.#host.heard(page.sessions);
    } catch (error) {
      if (reading !== this.#reading) return;
      const failure = asApiError(error);
      this.#readTrouble = failure.trouble;
      if (failure.status > 0 && failure.status !== 401) this.#host.heard([]);
    }
    this.#host.changed();
    this.soon(POLL_MS);
  }

  /** Put the first page before what was read of the others. */
  #lay(first: readonly SessionItem[], cursor: string | null): void {
    const ids = new Set(first.map((item) => item.id));
    const last = first.at(-1);
    const isPaged =
      cursor !== null &&
      this.search === this.#searched &&
      this.#items.length > first.length &&
      last !== undefined;
    const rest = isPaged
      ? this.#items.filter((item) => !ids.has(item.id) && item.updatedAt <= last.updatedAt)
      : [];
    if (rest.length === 0) this.#cursor = cursor;
    this.#searched = this.search;
    this.#show([...first, ...rest]);
  }

  /** Unchanged items stay the same objects, and so does an unchanged list. */
  #show(items: readonly SessionItem[]): void {
    const old = new Map(this.#items.map((item) => [item.id, item]));
    const shown = items.filter((item) => !this.#removed.has(item.id));
    const next = shown.map((item) => {
      const before = old.get(item.id);
      return before !== undefined && isEqual(before, item) ? before : item;
    });
    const isSame =
      next.length === this.#items.length && next.every((item, n) => item === this.#items[n]);
    if (!isSame) this.#items = next;
  }
}

function itemOf({ id, title, updatedAt, streams }: SessionCard): SessionItem {
  return { id, title, updatedAt, isLive: streams.length > 0 };
}

function isEqual(one: SessionItem, other: SessionItem): boolean {
  return (
    one.title === other.title && one.updatedAt === other.updatedAt && one.isLive === other.isLive
  );
}
