// Work that can wait a moment, done in slices that leave the page free: the newest first, as what is
// seen is at the bottom.

const SLICE_MS = 8;
const waiting: Array<() => void> = [];
let isArmed = false;

function runSlice(): void {
  const start = performance.now();
  for (let work = waiting.pop(); work !== undefined; work = waiting.pop()) {
    work();
    if (performance.now() - start > SLICE_MS) break;
  }
  isArmed = false;
  arm();
}

function arm(): void {
  if (isArmed || waiting.length === 0) return;
  isArmed = true;
  setTimeout(runSlice, 0);
}

/** Does it soon, unless the function returned is called before. */
export function soon(work: () => void): () => void {
  waiting.push(work);
  arm();
  return () => {
    const place = waiting.indexOf(work);
    if (place !== -1) waiting.splice(place, 1);
  };
}
