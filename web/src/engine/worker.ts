/** What the engine can be asked for, and how each is done: the only table of it. */
import {
  TrainCallbacks,
  defaultCircuitSettings,
  defaultHealthSettings,
  defaultPlan,
  defaultTrainPlan,
  leftTraining,
  wasmBytes,
  type HealthReport,
  type InductionPair,
  type LeftTraining,
  type Opened,
  type Prompted,
  type Report,
  type TrainPlan,
  type TrainStats,
} from 'mppc';
import { asFailure, HubError, isFull } from '../failure';
import { start, type Bench } from './bench';
import { Checkpoints } from './checkpoints';
import { nameOf, type EngineName, type ModelRef } from './messages';
import { keepSae, sweepSaes } from './saes';
import { goOn, point, progress, serve } from './serve';

/** How many next tokens a prompt shows. */
const TOP = 10;

const actions = {
  compare: { does: compare },
  prompt: { does: prompt },
  health: { does: health },
  induction: { does: induction },
  // It leaves a checkpoint first.
  train: { does: train, patience: 10_000 },
  left: { does: left },
  forget: { does: forget },
};
export type Actions = typeof actions;
serve(actions);

export interface HealthAsk {
  /** A model that comes with the page, and brings SAEs. */
  model: ModelRef;
  engine: EngineName;
  tokens: number;
  seed: number;
}

async function health(bench: Bench, { model, engine, tokens, seed }: HealthAsk): Promise<HealthReport> {
  const lab = await bench.open(engine);
  await bench.load(lab, model);
  goOn();
  return lab.saeHealth(nameOf(model), { ...defaultHealthSettings(), tokens, seed }, progress);
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

async function induction(bench: Bench, ask: InductionAsk): Promise<InductionPair> {
  const lab = await bench.open(ask.engine);
  await bench.loadBuiltin(lab, ask.models);
  goOn();
  const settings = { ...defaultCircuitSettings(), prompts: ask.prompts, seed: ask.seed };
  return lab.induction(ask.models, ask.text, settings, progress);
}

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

function train(bench: Bench, { model, engine, plan, begin }: TrainAsk): Promise<TrainedHere[]> {
  return Checkpoints.alone(async (checkpoints) => {
    const last = checkpoints.last();
    // The page asks, but does not know what another tab has left meanwhile.
    if (begin === 'new' && last) {
      throw new HubError(
        'unfinished',
        'an unfinished training is stored here',
        'resume it, or let the new one take its place',
      );
    }
    if (begin === 'resume' && !last) {
      throw new HubError('missing', 'the unfinished training is not here any more', 'begin a new one');
    }
    const lab = await bench.open(engine);
    await bench.load(lab, model);
    goOn();
    const watch = new TrainCallbacks(progress, point);
    const from = begin === 'resume' ? last : undefined;
    const { saes } = await lab.trainSaes(nameOf(model), { ...defaultTrainPlan(), ...plan }, from, checkpoints, watch);
    for (const sae of saes) await keepSae(nameOf(model), sae).catch((error: unknown) => notKept(error, checkpoints));
    // Only now is there nothing left to go on with.
    checkpoints.clear();
    return saes.map(({ hook, recipe, stats }) => ({ hook, recipe, stats }));
  });
}

function notKept(error: unknown, checkpoints: Checkpoints): never {
  if (!isFull(error)) throw error;
  const then = checkpoints.last() ? 'resume it, from a little before its end' : 'train again';
  const advice = `delete a stored model or SAE, or free room on the disk; then ${then}`;
  throw new HubError('quota', 'the training is done, but there is no room to keep its SAE', advice);
}

async function left(): Promise<LeftTraining | undefined> {
  if (!(await Checkpoints.begun())) return undefined;
  return Checkpoints.alone(async (checkpoints) => {
    await sweepSaes();
    const last = checkpoints.last();
    if (!last) return undefined;
    await start();
    try {
      return leftTraining(last);
    } catch (error) {
      throw new HubError(
        'unreadable',
        `an unfinished training is stored here, but ${asFailure(error).message}`,
        'forget it',
      );
    }
  });
}

async function forget(): Promise<void> {
  await Checkpoints.alone(async (checkpoints) => checkpoints.clear());
}

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

async function compare(bench: Bench, { a, b, engine, file, tokens, seed }: CompareAsk): Promise<CompareAnswer> {
  const text = file && new Uint8Array(await file.arrayBuffer());
  const lab = await bench.open(engine);
  await bench.loadBuiltin(lab, [a, b]);
  goOn();
  const plan = defaultPlan(a, b);
  Object.assign(plan.corpus, { tokens, seed, source: file?.name ?? 'builtin' });
  plan.controls.seed = seed;
  return { report: await lab.compare(plan, text, progress), opened: lab.opened() };
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

async function prompt(bench: Bench, { model, engine, text }: PromptAsk): Promise<PromptAnswer> {
  const lab = await bench.open(engine);
  const loadSeconds = await bench.load(lab, model);
  goOn();
  const start = performance.now();
  const prompted = await lab.prompt(nameOf(model), text, TOP);
  const runSeconds = (performance.now() - start) / 1000;
  return { prompted, opened: lab.opened(), loadSeconds, runSeconds, wasmBytes: wasmBytes() };
}
