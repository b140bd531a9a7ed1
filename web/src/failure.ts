/** Errors as people read them: what is wrong, and what to do. */
import type { Failure } from 'mppc';

/** What is wrong and what to do, thrown: a `Failure` that a `catch` can tell from a defect. */
export class HubError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly advice = '',
  ) {
    super(message);
  }

  get failure(): Failure {
    return { code: this.code, message: this.message, advice: this.advice };
  }
}

/** What helps where an error does not say it itself, by its code. */
const ADVICE: Record<string, string> = {
  engine: 'try again, or choose the processor',
  model: 'take other files of this model, or another model',
  corpus: 'give another text',
  run: 'change what is asked for, and try again',
  hub: 'try again later, or take another hub',
};
const RELOAD = 'reload the page and try again';

/** What a browser means when it refuses storage or a file, by the name of the exception. */
const REFUSALS: Record<string, [code: string, message: string, advice: string]> = {
  QuotaExceededError: [
    'quota',
    'the storage of this page is full',
    'delete a stored model or SAE, or free room on the disk, and try again',
  ],
  NotFoundError: [
    'file',
    'a file is not there any more: it was moved, changed or deleted meanwhile',
    'choose it again; if it was stored here, reload the page',
  ],
  NotReadableError: [
    'file',
    'a file cannot be read any more: it was moved, changed or deleted meanwhile',
    'choose it again',
  ],
  NoModificationAllowedError: ['busy', 'a stored file is in use', 'wait a moment, or close the other tab'],
};

/** Any error as the page shows it. Always with advice, but for what was cancelled. */
export function asFailure(error: unknown): Failure {
  // First what knows itself: such an error has the fields of a `Failure`, but would lose them on its way between
  // threads, where only the message of an `Error` survives.
  if (error instanceof HubError) return advised(error.failure);
  if (isAbort(error)) return { code: 'cancelled', message: 'cancelled', advice: '' };
  if (isFailure(error)) return advised(error);
  const message = error instanceof Error ? error.message : String(error);
  const [code, meaning, advice] = (error instanceof Error && REFUSALS[error.name]) || ['page', message, RELOAD];
  return { code, message: meaning, advice };
}

function advised({ code, message, advice }: Failure): Failure {
  return { code, message, advice: advice || (code === 'cancelled' ? '' : (ADVICE[code] ?? RELOAD)) };
}

/** Whether this is a plain `Failure`, as they come from the engine and from other threads. */
export function isFailure(value: unknown): value is Failure {
  if (typeof value !== 'object' || value === null || value instanceof Error) return false;
  return 'code' in value && 'message' in value && 'advice' in value;
}

export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === 'AbortError';

/** Storage says in two ways that it is full: what the browser lends, and what the disk has. */
export const isFull = (error: unknown): boolean => error instanceof Error && error.name === 'QuotaExceededError';
