// Polls the server for the operations view: once a second, only while somebody looks, never a
// second request while one is under way, and less often where no answer comes. Knows no React.

import type { Environment, Undo } from "../lib/environment";
import { type ApiError, asApiError } from "../lib/errors";
import type { Receipt } from "../lib/wire";
import { ratesOf } from "./figures";
import type { OpsClient } from "./opsClient";
import type { Overview } from "./overview";
import { type Row, rowsAfter } from "./rows";

const TICK_MS = 1000;
const LONGEST_PAUSE_MS = 10_000;
/** A request that takes longer has failed. */
const PATIENCE_MS = 10_000;
const STOPS_SHOWN = 5;
/** The tree is read without being asked for where that costs the server little (0.2 ms each). */
const FEW_STREAMS = 50;

/** What the store needs of the world. Milliseconds. */
export interface Surroundings
  extends Pick<Environment, "after" | "isVisible" | "onVisibility" | "onOnline"> {
  now(): number;
}

/** A stop that was asked for here; without a receipt or a refusal it is under way. */
export interface Stop {
  readonly streamId: string;
  readonly receipt: Receipt | null;
  readonly refusal: ApiError | null;
}

export interface Tasks {
  readonly text: string | null;
  readonly isReading: boolean;
  readonly refusal: ApiError | null;
}

/** Everything that the view shows. Immutable. */
export interface OpsSnapshot {
  /** The last one that came, however long ago. */
  readonly overview: Overview | null;
  readonly rows: readonly Row[];
  readonly rates: ReadonlyMap<string, number>;
  /** Whole seconds since the last answer, while the next one is due. */
  readonly silentSeconds: number;
  /** Why the last request failed; null when it did not. */
  readonly refusal: ApiError | null;
  /** The newest first. */
  readonly stops: readonly Stop[];
  readonly tasks: Tasks;
}

export class OpsStore {
  #snapshot: OpsSnapshot = {
    overview: null,
    rows: [],
    rates: new Map(),
    silentSeconds: 0,
    refusal: null,
    stops: [],
    tasks: { text: null, isReading: false, refusal: null },
  };
  readonly #client: OpsClient;
  readonly #world: Surroundings;
  readonly #listeners = new Set<() => void>();
  #undo: Undo[] = [];
  #undoTick: Undo = () => {};
  /** Aborts all that was asked for this time. */
  #visit = new AbortController();
  #isAsking = false;
  #isHeld = false;
  #dueAt = 0;
  #pause = TICK_MS;
  #heardAt = 0;

  constructor(client: OpsClient, world: Surroundings) {
    this.#client = client;
    this.#world = world;
  }

  readonly subscribe = (listener: () => void): Undo => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): OpsSnapshot => this.#snapshot;

  /** Poll until the returned function is called. */
  readonly start = (): Undo => {
    const lookAgain = () => (this.#world.isVisible() ? this.#resume() : this.#suspend());
    this.#undo = [this.#world.onVisibility(lookAgain), this.#world.onOnline(lookAgain)];
    lookAgain();
    return () => {
      for (const undo of this.#undo) undo();
      this.#suspend();
    };
  };

  /** While `isHeld`, no row goes away: somebody points at one. */
  readonly hold = (isHeld: boolean): void => {
    this.#isHeld = isHeld;
    if (!isHeld) this.#say({ rows: rowsAfter([], this.#snapshot.overview?.streams ?? [], false) });
  };

  readonly stop = async (streamId: string): Promise<void> => {
    if (this.#snapshot.stops.some((stop) => stop.streamId === streamId && isUnderWay(stop))) return;
    this.#noteStop({ streamId, receipt: null, refusal: null });
    const patience = this.#patience(); // of its own: who leaves the view takes no stop back
    try {
      const receipt = await this.#client.stop(streamId, patience.signal);
      this.#noteStop({ streamId, receipt, refusal: null });
    } catch (error) {
      this.#noteStop({ streamId, receipt: null, refusal: asApiError(error) });
    } finally {
      patience.end();
    }
  };

  readonly readTasks = async (): Promise<void> => {
    const { tasks } = this.#snapshot;
    if (tasks.isReading) return;
    this.#say({ tasks: { ...tasks, isReading: true } });
    const visit = this.#visit.signal;
    const patience = this.#patience();
    try {
      const text = await this.#client.tasks(AbortSignal.any([visit, patience.signal]));
      this.#say({ tasks: { text, isReading: false, refusal: null } });
    } catch (error) {
      const refusal = visit.aborted ? null : asApiError(error);
      this.#say({ tasks: { text: tasks.text, isReading: false, refusal } });
    } finally {
      patience.end();
    }
  };

  #resume(): void {
    this.#suspend();
    this.#visit = new AbortController();
    this.#pause = TICK_MS;
    this.#heardAt = this.#dueAt = this.#world.now();
    this.#tick();
  }

  #suspend(): void {
    this.#undoTick();
    this.#visit.abort();
    this.#isAsking = false;
  }

  #tick(): void {
    const now = this.#world.now();
    if (!this.#isAsking && now >= this.#dueAt) void this.#ask();
    const silent = Math.floor((now - this.#heardAt) / 1000);
    if (silent !== this.#snapshot.silentSeconds) this.#say({ silentSeconds: silent });
    this.#undoTick = this.#world.after(TICK_MS, () => this.#tick());
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    const visit = this.#visit.signal;
    const patience = this.#patience();
    try {
      const overview = await this.#client.overview(AbortSignal.any([visit, patience.signal]));
      if (!visit.aborted) this.#hear(overview);
    } catch (error) {
      if (!visit.aborted) this.#fail(asApiError(error));
    } finally {
      patience.end();
      if (!visit.aborted) this.#isAsking = false;
    }
  }

  #patience() {
    const controller = new AbortController();
    const end = this.#world.after(PATIENCE_MS, () => controller.abort());
    return { signal: controller.signal, end };
  }

  #hear(overview: Overview): void {
    const before = this.#snapshot.overview;
    this.#pause = TICK_MS;
    this.#heardAt = this.#dueAt = this.#world.now();
    this.#say({
      overview,
      rows: rowsAfter(this.#snapshot.rows, overview.streams, this.#isHeld),
      rates: ratesOf(before, overview),
      silentSeconds: 0,
      refusal: null,
    });
    const { text, refusal } = this.#snapshot.tasks;
    const isCheap = overview.seesAll && overview.streamsTotal <= FEW_STREAMS;
    if (isCheap && text === null && refusal === null) void this.readTasks();
  }

  #fail(refusal: ApiError): void {
    this.#dueAt = this.#world.now() + this.#pause;
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS);
    // Who has to sign in first is told so elsewhere; asking on would only be refused again.
    if (refusal.status === 401) this.#undoTick();
    this.#say({ refusal });
  }

  #noteStop(stop: Stop): void {
    const others = this.#snapshot.stops.filter((other) => other.streamId !== stop.streamId);
    this.#say({ stops: [stop, ...others].slice(0, STOPS_SHOWN) });
  }

  #say(news: Partial<OpsSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...news };
    for (const listener of this.#listeners) listener();
  }
}

export function isUnderWay(stop: Stop): boolean {
  return stop.receipt === null && stop.refusal === null;
}
