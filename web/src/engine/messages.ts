/** What the page and the engine's Worker say to each other. */
import type { CurvePoint, Failure, Opened, Progress } from 'mppc';

export type EngineName = 'auto' | 'gpu' | 'cpu';

/** A model that comes with the page, or, with its folder there, one of the browser's storage. */
export interface ModelRef {
  name: string;
  stored?: string;
}

/** What the engine calls a model; two commits of a repository are two models. */
export const nameOf = ({ name, stored }: ModelRef): string =>
  stored ? `${name}@${stored.slice(stored.lastIndexOf('@') + 1).slice(0, 12)}` : name;

/**
 * Page to worker, `action` being one of the worker's table; everything but `cancel` ends with exactly one `done` or
 * `failed`.
 */
export type Request = { kind: 'do'; action: string; base: string; ask: unknown } | { kind: 'cancel' };

/** Worker to page. */
export type Reply =
  /** First of all: how long the action may take to stop, in milliseconds, where that is unusual. */
  | { kind: 'begun'; patience?: number }
  | { kind: 'loading'; done: number; total: number }
  | { kind: 'opened'; opened: Opened }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'point'; point: CurvePoint }
  | { kind: 'done'; value: unknown }
  | { kind: 'failed'; failure: Failure };
