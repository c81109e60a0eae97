// What people are told.

import { expect, it } from "vitest";
import { asApiError } from "../../src/lib/errors";
import { outcomeStopped, outcomeStored } from "../../src/lib/notes";
import { type MessageCard, readError, readFrame } from "../../src/lib/wire";

function refusal(status: number, code: string, retryAfter?: string): Promise<Response> {
  const headers = retryAfter === undefined ? {} : { "Retry-After": retryAfter };
  const error = { message: "its words", type: "t", param: null, code };
  return Promise.resolve(Response.json({ error }, { status, headers }));
}

const CASES: [number, string, string, boolean][] = [
  [401, "invalid_api_key", "This key does not open the server.", false],
  [403, "host_not_allowed", "under this name", false],
  [404, "model_not_found", "Choose another one", false],
  [408, "request_timeout", "too long on its way", true],
  [409, "superseded", "A newer prompt took over.", true],
  [409, "session_busy", "another answer", true],
  [409, "stopped", "was stopped", true],
  [413, "body_too_large", "too long for the server", false],
  [429, "queue_full", "Too many prompts are waiting. Try again in 7 seconds.", true],
  [429, "upstream_rate_limited", "wants fewer requests. Try again in 7 seconds.", true],
  [500, "internal_error", "The server made a mistake", true],
  [502, "upstream_error", "The model server failed: its words", true],
  [502, "upstream_eof", "broke off", true],
  [503, "upstream_busy", "The model server is not ready.", true],
  [503, "server_shutdown", "The server is shutting down.", true],
  [503, "overloaded", "as many answers as it can", true],
  [503, "history_unavailable", "The conversations cannot be reached now.", true],
  [504, "upstream_timeout", "did not answer in time", true],
  [400, "upstream_rejected", "refused the prompt: its words", true],
  [400, "invalid_request", "its words", false],
  [418, "unheard_of", "its words", true],
];

for (const [status, code, sentence, canRetry] of CASES) {
  it(`${status} ${code}: a sentence, and whether to try again`, async () => {
    const error = await readError(await refusal(status, code, "7"));
    expect(error).toMatchObject({ status, code, retryAfter: 7, canRetry });
    expect(error.sentence).toContain(sentence);
  });
}

it("no answer at all is the network's or the server's absence", () => {
  const error = asApiError(new TypeError("Failed to fetch"));
  expect(error).toMatchObject({ status: 0, canRetry: true });
  expect(error.sentence).toMatch("cannot be reached");
});

it("an answer that is not the server's is said to be none", async () => {
  const error = await readError(new Response("<html>Bad gateway</html>", { status: 502 }));
  expect(error).toMatchObject({ status: 502, code: "unreadable", canRetry: true });
  expect(error.sentence).toMatch("between this page and the server");
});

it("a sentence never says undefined, NaN or null", async () => {
  for (const [status, code] of CASES) {
    const { sentence } = await readError(await refusal(status, code));
    expect(sentence).not.toMatch(/undefined|NaN|null/);
  }
});

it("one second is a second", async () => {
  const error = await readError(await refusal(429, "queue_full", "1"));
  expect(error.sentence).toMatch("Try again in a second.");
});

it("frames that are nothing we know are no text", () => {
  for (const data of ["", "null", "[]", "7", "{", '{"choices":[]}', '{"choices":[{"delta":7}]}']) {
    expect(readFrame(data)?.text ?? "").toBe("");
  }
});

it("a successor is named in the error that tells of it", () => {
  const frame = readFrame('{"error":{"message":"m","code":"superseded","superseded_by":"str_2"}}');
  expect(frame?.error).toMatchObject({ code: "superseded", supersededBy: "str_2" });
});

const CARD: MessageCard = {
  seq: 2,
  role: "assistant",
  text: "",
  reasoning: "",
  state: "interrupted",
  streamId: "str_1",
  cause: null,
  finishReason: null,
  replaces: null,
};

it("the history says why an answer is not whole", () => {
  expect(outcomeStored(CARD).note).toBe("the server went down before the answer had ended");
  expect(outcomeStored({ ...CARD, cause: "client_disconnect" }).note).toMatch("nobody was reading");
  expect(outcomeStored({ ...CARD, cause: "client_stalled" }).note).toMatch("its reader");
  expect(outcomeStored({ ...CARD, state: "failed", cause: "upstream_timeout" }).trouble).toEqual({
    sentence: "The model server did not answer in time.",
    canRetry: true,
  });
  expect(outcomeStored({ ...CARD, state: "complete", finishReason: "length" }).note).toMatch(
    "length limit",
  );
});

it("a receipt says only what was seen", () => {
  const seen = { cause: "stopped", status: "cancelled" } as const;
  const note = (upstreamClosed: number | null, backendIdle: number | null) =>
    outcomeStopped({ ...seen, upstreamClosed, backendIdle })?.note;
  expect(note(0.4, 12.4)).toBe("stopped in 1 ms, model idle");
  expect(note(4, 904)).toBe("stopped in 4 ms, model idle after 904 ms");
  expect(note(4, null)).toBe("stopped in 4 ms; the model server does not say whether it is idle");
  expect(note(null, null)).toBe("stopped before it began");
  const hangs = {
    ...seen,
    status: "unconfirmed",
    upstreamClosed: null,
    backendIdle: null,
  } as const;
  expect(outcomeStopped(hangs)?.note).toMatch("was not seen to close");
  const ended = { ...hangs, status: "already_ended" } as const;
  expect(outcomeStopped({ ...ended, cause: "completed" })).toBe(null);
  expect(outcomeStopped({ ...ended, cause: "superseded" })?.note).toBe("a newer prompt took over");
});
