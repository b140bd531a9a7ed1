/** What the page and the engine's Worker say to each other. */
import type { CurvePoint, Failure, InductionPair, Opened, Progress, Prompted, Report, TrainPlan, TrainStats } from 'mppc';
import type { Actions } from './worker';

export type EngineName = 'auto' | 'gpu' | 'cpu';

/** What is asked of a comparison; here as below, everything else is the engine's default. */
export interface CompareAsk {
  a: string;
  b: string;
  engine: EngineName;
  tokens: number;
  seed: number;
  /** A text of the user's instead of the built-in corpus. */
  file?: File;
}

export interface CompareAnswer {
  report: Report;
  opened: Opened;
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

/** What the engine calls a model; two commits of a repository are two models. */
export const nameOf = ({ name, stored }: ModelRef): string =>
  stored ? `${name}@${stored.slice(stored.lastIndexOf('@') + 1).slice(0, 12)}` : name;

export interface HealthAsk {
  /** A model that comes with the page, and brings SAEs. */
  model: ModelRef;
  engine: EngineName;
  tokens: number;
  seed: number;
}

export interface InductionAsk {
  /** Models that come with the page, one with attention heads and one with a recurrence among them. */
  models: string[];
  engine: EngineName;
  /** What to look at; a planted prompt where there is none. */
  text?: string;
  /** Number of prompts of the experiments. */
  prompts: number;
  seed: number;
}

export type InductionAnswer = InductionPair;

export interface TrainAsk {
  model: ModelRef;
  engine: EngineName;
  plan: Partial<TrainPlan>;
  /**
   * `new` is refused where an unfinished training is stored, `instead` takes its place, `resume` goes on with it, and
   * must have its plan.
   */
  begin: 'new' | 'instead' | 'resume';
}

/** A SAE that was trained; its files are in the browser's storage. */
export interface TrainedHere {
  hook: string;
  recipe: string;
  stats: TrainStats;
}

/** Page to worker; everything but `cancel` ends with exactly one `done` or `failed`. */
export type Request = { kind: 'do'; action: keyof Actions; base: string; ask: unknown } | { kind: 'cancel' };

/** Worker to page. */
export type Reply =
  | { kind: 'loading'; done: number; total: number }
  | { kind: 'opened'; opened: Opened }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'point'; point: CurvePoint }
  | { kind: 'done'; value: unknown }
  | { kind: 'failed'; failure: Failure };
