/** The engine's side: wasm, models and one run at a time, away from the page's thread. */
import {
  TrainCallbacks,
  defaultCircuitSettings,
  defaultHealthSettings,
  defaultPlan,
  leftTraining,
  wasmBytes,
  type HealthReport,
  type LeftTraining,
  type Progress,
  type Report,
} from 'mppc';
import { asFailure, HubError, isFull } from '../failure';
import { Bench, start } from './bench';
import { Checkpoints } from './checkpoints';
import { nameOf, type Ask, type PromptAnswer, type PromptAsk } from './messages';
import type { HealthAsk, InductionAnswer, InductionAsk, Reply, Request, TrainAsk, TrainedHere, Value } from './messages';
import { keepSae, sweepSaes } from './saes';

/** How many next tokens a prompt shows. */
const TOP = 10;

const tell = (reply: Reply) => postMessage(reply);
const progress = (it: Progress) => tell({ kind: 'progress', progress: it });

let bench: Bench | undefined;
let cancelled = false;

onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.kind === 'cancel') {
    cancelled = true;
    bench?.cancel();
    return;
  }
  cancelled = false;
  answer(data).then(
    (value) => tell({ kind: 'done', value }),
    (error: unknown) => {
      // WebAssembly that has trapped is not to be trusted any more: the page hears of it as of a crash.
      if (error instanceof WebAssembly.RuntimeError) setTimeout(() => {
          throw error;
        });
      else tell({ kind: 'failed', failure: asFailure(error) });
    },
  );
};

function answer(request: Exclude<Request, { kind: 'cancel' }>): Promise<Value> {
  if (request.kind === 'left') return left();
  if (request.kind === 'forget') return forget();
  const open = (bench ??= new Bench(request.base, {
    loading: (done, total) => tell({ kind: 'loading', done, total }),
    opened: (opened) => tell({ kind: 'opened', opened }),
  }));
  switch (request.kind) {
    case 'run':
      return run(open, request.ask);
    case 'prompt':
      return prompt(open, request.ask);
    case 'train':
      return train(open, request.ask);
    case 'health':
      return health(open, request.ask);
    case 'induction':
      return induction(open, request.ask);
  }
}

/** Between two steps that cannot be stopped. */
function goOn(): void {
  if (cancelled) throw new HubError('cancelled', 'cancelled');
}

async function health(bench: Bench, { model, engine, tokens, seed }: HealthAsk): Promise<HealthReport> {
  const lab = await bench.open(engine);
  await bench.load(lab, { name: model });
  goOn();
  return lab.saeHealth(model, { ...defaultHealthSettings(), tokens, seed }, progress);
}

async function induction(bench: Bench, ask: InductionAsk): Promise<InductionAnswer> {
  const lab = await bench.open(ask.engine);
  await bench.loadBuiltin(lab, ask.models);
  goOn();
  const settings = { ...defaultCircuitSettings(), prompts: ask.prompts, seed: ask.seed };
  return lab.induction(ask.models, ask.text, settings, progress);
}

function train(bench: Bench, { model, engine, plan, begin }: TrainAsk): Promise<TrainedHere[]> {
  return Checkpoints.alone(async (checkpoints) => {
    const last = checkpoints.last();
    // The page asks, but does not know what another tab has left meanwhile.
    if (begin === 'new' && last) {
      throw new HubError('unfinished', 'an unfinished training is stored here', 'resume it, or let the new one take its place');
    }
    if (begin === 'resume' && !last) {
      throw new HubError('missing', 'the unfinished training is not here any more', 'begin a new one');
    }
    const lab = await bench.open(engine);
    await bench.load(lab, model);
    goOn();
    const watch = new TrainCallbacks(progress, (point) => tell({ kind: 'point', point }));
    const from = begin === 'resume' ? last : undefined;
    const { saes } = await lab.trainSaes(nameOf(model), plan, from, checkpoints, watch);
    for (const sae of saes) await keepSae(nameOf(model), sae).catch((error: unknown) => notKept(error, checkpoints));
    // Only now is there nothing left to go on with.
    checkpoints.clear();
    return saes.map(({ hook, recipe, stats }) => ({ hook, recipe, stats }));
  });
}

function notKept(error: unknown, checkpoints: Checkpoints): never {
  if (!isFull(error)) throw error;
  const then = checkpoints.last() ? 'resume it, from a little before its end' : 'train again';
  const hint = `delete a stored model or SAE, or free room on the disk; then ${then}`;
  throw new HubError('quota', 'the training is done, but there is no room to keep its SAE', hint);
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
      throw new HubError('unreadable', `an unfinished training is stored here, but ${asFailure(error).message}`, 'forget it');
    }
  });
}

async function forget(): Promise<undefined> {
  await Checkpoints.alone(async (checkpoints) => checkpoints.clear());
}

async function run(bench: Bench, { a, b, engine, file, tokens, seed }: Ask): Promise<Report> {
  const lab = await bench.open(engine);
  await bench.loadBuiltin(lab, [a, b]);
  goOn();
  const plan = defaultPlan(a, b);
  Object.assign(plan.corpus, { tokens, seed, source: file?.name ?? 'builtin' });
  plan.controls.seed = seed;
  return lab.compare(plan, file?.bytes, progress);
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
