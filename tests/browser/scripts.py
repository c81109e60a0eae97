"""What is put under the page before it runs: a network that misbehaves, and witnesses."""

IGNORES_ABORTS_AND_IS_LATE = """{
  const real = window.fetch;
  window.late = 0;
  ReadableStreamDefaultReader.prototype.cancel = async () => undefined;
  ReadableStream.prototype.cancel = async () => undefined;
  const delayed = (body) => {
    const reader = body.getReader();
    return new ReadableStream({
      async start(controller) {
        window.late += 1;
        const later = (act) => setTimeout(act, 150);
        for (let read = await reader.read(); !read.done; read = await reader.read()) {
          const { value } = read;
          later(() => controller.enqueue(value));
        }
        later(() => controller.close());
        const shown = () => { window.late -= 1; };
        later(() => requestAnimationFrame(() => requestAnimationFrame(shown)));
      },
    });
  };
  window.fetch = async (input, { signal, ...init } = {}) => {
    const response = await real(input, init);
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return response;
    const { status, headers } = response;
    return new Response(delayed(response.body), { status, headers });
  };
}"""
"""Who aborts a stream is given all of it; ``late`` counts what is under way or not shown yet."""

NOTES_COPIES = """{
  window.copies = 0;
  new MutationObserver((changes) => {
    for (const { target } of changes)
      if (target.textContent === "Copied") window.copies += 1;
  }).observe(document, { subtree: true, childList: true, characterData: true });
}"""
"""``copies`` grows when a button says that it has copied: it does so for a moment only."""

NOTES_CALLS = """{
  const real = window.fetch;
  window.calls = [];
  window.fetch = (input, init = {}) => {
    const path = new URL(input instanceof Request ? input.url : input, location.href).pathname;
    const call = `${init.method ?? "GET"} ${path}`;
    window.calls.push(call);
    init.signal?.addEventListener("abort", () => window.calls.push(`abort ${call}`));
    return real(input, init);
  };
}"""
"""``calls`` is what the page fetched and aborted, in order."""
