import type { Failure } from 'mppc';
import type { Progress } from './download';
import type { LocalFiles } from './local';
import type { Plan } from './plan';
import type { Listing } from './stored';

/** What the page asks of the store's worker. Each has an answer of its own kind. */
export type Ask =
  | { kind: 'list' }
  | { kind: 'remove'; key: string }
  | { kind: 'plan'; hub: string; text: string; token: string }
  | { kind: 'planFolder'; name: string; files: LocalFiles }
  | { kind: 'copyFolder'; plan: Plan; files: LocalFiles }
  | { kind: 'download'; plan: Plan; token: string; part?: number };

export interface Answers {
  list: Listing;
  remove: null;
  plan: Plan;
  planFolder: Plan;
  copyFolder: null;
  download: null;
}

/** Page to worker; `cancel` stops the ask with that id. */
export type Request = { id: number; ask: Ask } | { cancel: number };

/** Worker to page: progress of a download, then exactly one of the others. */
export type Reply =
  { id: number; progress: Progress } | { id: number; value: Answers[keyof Answers] } | { id: number; failure: Failure };
