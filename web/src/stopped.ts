/** A Worker that ended by itself. */
import type { Failure } from 'mppc';
import { asFailure, HubError } from './failure';
import { forbidden } from './policy';

/** What happened to it, and what to do; `since` is when it was last well (`performance.now`). */
export async function stopped(who: string, event: ErrorEvent, since: number, advice: string): Promise<Failure> {
  if (event.message) return asFailure(new HubError('crash', `${who} stopped: ${event.message}`, advice));
  // Without a message its program never ran.
  const policy = await forbidden('worker-src', since);
  const reload = 'check the connection and try again; if that does not help, reload the page';
  return asFailure(policy ?? new HubError('crash', `${who} could not start: its program cannot be fetched`, reload));
}
