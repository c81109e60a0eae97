// Telling the server to stop an answer that this page does not read any more.

import type { Api } from "./api";
import { type Environment, pause } from "./environment";
import { asApiError } from "./errors";
import * as notes from "./notes";

/** Pauses before each try, in milliseconds: a Stop that does not get through leaves a model busy. */
const PAUSES = [0, 500, 1000, 2000, 4000];

/** Stop the one that is named, and return what was seen; null where it had ended by itself. */
export async function tellStop(
  api: Api,
  environment: Environment,
  sessionId: string,
  streamId: string,
): Promise<notes.Outcome | null> {
  const never = new AbortController().signal;
  for (const milliseconds of PAUSES) {
    if (milliseconds > 0) await pause(environment, milliseconds, never, true);
    try {
      return notes.outcomeStopped(await api.cancel(sessionId, streamId));
    } catch (error) {
      const { status } = asApiError(error);
      // It is not live, or not there any more: 409 not_current, 404.
      if (status > 0 && status < 500) return null;
    }
  }
  return notes.OUT_OF_REACH;
}
