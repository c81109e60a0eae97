// The server's history of one session, read page by page: the newest page again whenever something
// happened that this page did not see, older ones when asked for.

import type { Api } from "./api";
import { asApiError } from "./errors";
import type { Trouble } from "./types";
import type { MessageCard, SessionCard } from "./wire";

export interface HistoryHost {
  /** Grows with all that happens on this page: a page that was asked for before is out of date. */
  readonly version: number;
  /** A prompt is on its way, and what the server says would leave it out or name it doubly. */
  readonly isAsking: boolean;
  /** Lay the newest page, oldest first, over what is shown. */
  lay(session: SessionCard, messages: readonly MessageCard[], hasOlder: boolean): void;
  /** Put an older page, oldest first, before it; null when there is nothing before to ask from. */
  prepend(messages: readonly MessageCard[]): void;
  readonly oldestSeq: number | null;
  /** The server has the conversation, or had. */
  readonly isKept: boolean;
  changed(): void;
  settled(): void;
}

const GONE_SENTENCE = "There is no such conversation on the server, or no longer.";

export class History {
  hasOlder = false;
  /** The first page is being read. */
  isLoading = false;
  trouble: Trouble | null = null;
  /** The server could not be asked, or must be asked again. */
  isStale = false;
  readonly #api: Api;
  readonly #sessionId: string;
  readonly #host: HistoryHost;
  #reading: Promise<void> | null = null;
  #isReadingOlder = false;

  constructor(api: Api, sessionId: string, host: HistoryHost) {
    this.#api = api;
    this.#sessionId = sessionId;
    this.#host = host;
  }

  /** Read the newest page for the first time. */
  async load(): Promise<void> {
    this.isLoading = true;
    this.trouble = null;
    await this.refresh();
    this.isLoading = false;
    this.#host.changed();
  }

  /** Read the newest page again, until nothing has happened meanwhile. */
  async refresh(): Promise<void> {
    this.isStale = true;
    if (this.#host.isAsking) return;
    this.#reading ??= this.#read();
    await this.#reading;
  }

  async #read(): Promise<void> {
    try {
      while (this.isStale && !this.#host.isAsking) {
        this.isStale = false;
        const version = this.#host.version;
        const [session, page] = await Promise.all([
          this.#api.session(this.#sessionId),
          this.#api.messages(this.#sessionId, null),
        ]);
        if (version !== this.#host.version) {
          this.isStale = true;
          continue;
        }
        this.trouble = null;
        this.#host.lay(session, page.messages.toReversed(), page.hasMore);
        const joins = (this.#host.oldestSeq ?? 0) < (page.messages.at(-1)?.seq ?? 0);
        if (!joins) this.hasOlder = page.hasMore; // else what is known of the oldest shown holds
        this.#host.settled();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#reading = null;
    }
  }

  async readOlder(): Promise<void> {
    const before = this.#host.oldestSeq;
    if (!this.hasOlder || this.#isReadingOlder || before === null) return;
    this.#isReadingOlder = true;
    try {
      const page = await this.#api.messages(this.#sessionId, before);
      if (before === this.#host.oldestSeq) {
        this.trouble = null;
        this.hasOlder = page.hasMore;
        this.#host.prepend(page.messages.toReversed());
      }
    } catch (error) {
      this.trouble = asApiError(error).trouble;
    } finally {
      this.#isReadingOlder = false;
      this.#host.changed();
    }
  }

  #fail(error: unknown): void {
    const failure = asApiError(error);
    const isGone = failure.status === 404;
    this.isStale = !isGone;
    if (isGone && (this.isLoading || this.#host.isKept)) {
      this.trouble = { sentence: GONE_SENTENCE, canRetry: false };
    } else if (this.isLoading) {
      this.trouble = failure.trouble;
    }
    this.#host.changed();
  }
}
