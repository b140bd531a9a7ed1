import type { Failure, Opened, Progress, Report } from 'mppc';

/** What a run is asked for; everything else is the engine's default. */
export interface Ask {
  a: string;
  b: string;
  engine: 'auto' | 'gpu' | 'cpu';
  tokens: number;
  seed: number;
  /** A text of the user's instead of the built-in corpus. */
  file?: { name: string; bytes: Uint8Array };
}

/** Page to worker. */
export type Request = { kind: 'run'; base: string; ask: Ask } | { kind: 'cancel' };

/** Worker to page. A run ends with exactly one `report` or `failed`. */
export type Reply =
  | { kind: 'loading'; done: number; total: number }
  | { kind: 'opened'; opened: Opened }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'report'; report: Report }
  | { kind: 'failed'; failure: Failure };

export function isFailure(value: unknown): value is Failure {
  return typeof value === 'object' && value !== null && 'code' in value && 'message' in value && 'hint' in value;
}
