// Work that can wait a moment, done in slices that leave the page free: the newest first, as what is
// seen is at the bottom.

const SLICE_MS = 8;
const waiting: Array<() => void> = [];
let isArmed = false;

function runSlice(): void {
  isArmed = false;
  const start = performance.now();
  while (performance.now() - start <= SLICE_MS) {
    const work = waiting.pop();
    if (work === undefined) return;
    if (waiting.length > 0) arm(); // before the work, which may fail
    work();
  }
}

function arm(): void {
  if (isArmed || waiting.length === 0) return;
  isArmed = true;
  setTimeout(runSlice, 0);
}

/** Does it when the page is free. */
export function soon(work: () => void): void {
  waiting.push(work);
  arm();
}
