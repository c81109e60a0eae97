// What was written and not sent yet, one text per conversation, for as long as the page is open.

const drafts = new Map<string, string>();

export function draftOf(place: string): string {
  return drafts.get(place) ?? "";
}

export function keepDraft(place: string, text: string): void {
  if (text === "") drafts.delete(place);
  else drafts.set(place, text);
}

/** Who signs out leaves nothing to the next one. */
export function forgetDrafts(): void {
  drafts.clear();
}
