import type { Failure, Opened, Progress, Prompted, Report } from 'mppc';

export type EngineName = 'auto' | 'gpu' | 'cpu';

/** What a run is asked for; everything else is the engine's default. */
export interface Ask {
  a: string;
  b: string;
  engine: EngineName;
  tokens: number;
  seed: number;
  /** A text of the user's instead of the built-in corpus. */
  file?: { name: string; bytes: Uint8Array };
}

/** A model that comes with the page, or, with its folder there, one of the browser's storage. */
export interface ModelRef {
  name: string;
  stored?: string;
}

export interface PromptAsk {
  model: ModelRef;
  engine: EngineName;
  text: string;
}

/** What a prompt gave, and what it took. */
export interface PromptAnswer {
  prompted: Prompted;
  opened: Opened;
  /** From the storage, or the network, to the engine; nothing when it was there already. */
  loadSeconds?: number;
  runSeconds: number;
  /** The most memory WebAssembly has taken since the engine was started. */
  wasmBytes: number;
}

/** Page to worker. */
export type Request =
  | { kind: 'run'; base: string; ask: Ask }
  | { kind: 'prompt'; base: string; ask: PromptAsk }
  | { kind: 'cancel' };

/** Worker to page. A run or a prompt ends with exactly one `done` or `failed`. */
export type Reply =
  | { kind: 'loading'; done: number; total: number }
  | { kind: 'opened'; opened: Opened }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'done'; value: Report | PromptAnswer }
  | { kind: 'failed'; failure: Failure };

export function isFailure(value: unknown): value is Failure {
  return typeof value === 'object' && value !== null && 'code' in value && 'message' in value && 'hint' in value;
}
