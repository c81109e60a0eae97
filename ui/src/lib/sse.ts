// A response's bytes -> events. The format is the WHATWG's, read by eventsource-parser; that a stream
// ends with `data: [DONE]` is OpenAI's.

import { createParser } from "eventsource-parser";

export interface ServerEvent {
  readonly data: string;
  /** The event's number in its stream, where the server says it. */
  readonly number: number | null;
}

/** `done`: the server said that this was all. `cut`: the bytes ended, and there was more to come. */
export type End = "done" | "cut";

export type Bytes = ReadableStreamDefaultReader<Uint8Array>;

/**
 * Give the events one by one, and return how they ended. Throws what the network throws.
 * `onBytes` is called for whatever comes, comments too.
 */
export async function* readEvents(
  bytes: Bytes,
  onBytes: () => void,
): AsyncGenerator<ServerEvent, End> {
  const events: ServerEvent[] = [];
  const parser = createParser({
    onEvent: ({ data, id }) => events.push({ data, number: numberOf(id) }),
  });
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await bytes.read();
    if (done) return "cut"; // an event that is not whole is none
    onBytes();
    parser.feed(decoder.decode(value, { stream: true }));
    for (const event of events.splice(0)) {
      if (event.data === "[DONE]") return "done";
      yield event;
    }
  }
}

function numberOf(id: string | undefined): number | null {
  return id !== undefined && /^[0-9]{1,15}$/.test(id) ? Number(id) : null;
}
