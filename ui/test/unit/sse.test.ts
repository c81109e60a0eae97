import { expect, it } from "vitest";
import { readEvents } from "../../src/lib/sse";

async function read(pieces: Uint8Array[]) {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  let count = 0;
  const events = readEvents(body.getReader(), () => count++);
  const read = [];
  for (;;) {
    const { done, value } = await events.next();
    if (done) return { read, end: value, count };
    read.push(value);
  }
}

const BYTES = new TextEncoder().encode(
  ': ping\n\nid: 7\ndata: {"a":"ü€😀"}\n\ndata: two\r\n\r\ndata: [DONE]\n\n',
);

it("bytes that are split anywhere are the same events", async () => {
  for (let split = 0; split <= BYTES.length; split++) {
    const { read: events, end } = await read([BYTES.slice(0, split), BYTES.slice(split)]);
    expect(events).toEqual([
      { data: '{"a":"ü€😀"}', number: 7 },
      { data: "two", number: null },
    ]);
    expect(end).toBe("done");
  }
});

it("an end without [DONE] is a cut, and half an event is none", async () => {
  const { read: events, end } = await read([new TextEncoder().encode("data: a\n\ndata: b\n")]);
  expect(events.map((event) => event.data)).toEqual(["a"]);
  expect(end).toBe("cut");
});

it("what follows [DONE] is not read", async () => {
  const text = "data: [DONE]\n\ndata: late\n\n";
  expect(await read([new TextEncoder().encode(text)])).toMatchObject({ read: [], end: "done" });
});

it("comments are heard of, and are no events", async () => {
  const { read: events, count } = await read([new TextEncoder().encode(": ping\n\n")]);
  expect(events).toEqual([]);
  expect(count).toBe(1);
});

it("an id that is no number is none", async () => {
  const { read: events } = await read([new TextEncoder().encode("id: x\ndata: a\n\n")]);
  expect(events).toEqual([{ data: "a", number: null }]);
});
