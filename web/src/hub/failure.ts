import type { Failure } from 'mppc';

/** What is wrong and what to do, thrown: a `Failure` that a `catch` can tell from a defect. */
export class HubError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint = '',
  ) {
    super(message);
  }

  get failure(): Failure {
    return { code: this.code, message: this.message, hint: this.hint };
  }
}

/** Any error as the page shows it. */
export function asFailure(error: unknown): Failure {
  if (error instanceof HubError) return error.failure;
  if (isAbort(error)) return { code: 'cancelled', message: 'cancelled', hint: '' };
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'page', message, hint: 'reload the page and try again' };
}

export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === 'AbortError';

/** Storage says in two ways that it is full: what the browser lends, and what the disk has. */
export const isFull = (error: unknown): boolean => error instanceof Error && error.name === 'QuotaExceededError';
