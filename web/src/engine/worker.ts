/** The engine's side: wasm, models and one run at a time, away from the page's thread. */
import init, {
  Lab,
  TrainCallbacks,
  defaultCircuitSettings,
  defaultHealthSettings,
  defaultPlan,
  leftTraining,
  wasmBytes,
  type Failure,
  type HealthReport,
  type LeftTraining,
  type Progress,
  type Report,
} from 'mppc';
import { isAbort, HubError } from '../hub/failure';
import { Checkpoints } from './checkpoints';
import { isFailure, nameOf, type Ask, type EngineName, type ModelRef, type PromptAnswer, type PromptAsk } from './messages';
import type { HealthAsk, InductionAnswer, InductionAsk, Reply, Request, TrainAsk, TrainedHere, Value } from './messages';
import { fetchModel, readIndex } from './models';
import { keepSae } from './saes';
import { withStored } from './stored';

/** How many next tokens a prompt shows. */
const TOP = 10;

/** Bytes of weights that the processor's engine can hold: WebAssembly addresses 4 GiB. */
const MOST = 3.6e9;

const tell = (reply: Reply) => postMessage(reply);

let lab: Lab | undefined;
let engine: EngineName | undefined;
/** Names under which models are loaded. */
const loaded = new Set<string>();
/** The one of them that comes from the storage: large, so there is one at a time. */
let large: string | undefined;
let cancelled = false;

class Cancelled extends Error {}

onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.kind === 'cancel') {
    cancelled = true;
    lab?.cancel();
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
      else tell({ kind: 'failed', failure: failure(error) });
    },
  );
};

function answer(request: Exclude<Request, { kind: 'cancel' }>): Promise<Value> {
  switch (request.kind) {
    case 'run':
      return run(request.base, request.ask);
    case 'prompt':
      return prompt(request.base, request.ask);
    case 'train':
      return train(request.base, request.ask);
    case 'health':
      return health(request.base, request.ask);
    case 'induction':
      return induction(request.base, request.ask);
    case 'left':
      return left();
    case 'forget':
      return forget();
  }
}

async function health(base: string, { model, engine: choice, tokens, seed }: HealthAsk): Promise<HealthReport> {
  const open = await openLab(choice);
  tell({ kind: 'opened', opened: open.opened() });
  await load(open, base, { name: model });
  if (cancelled) throw new Cancelled();
  const settings = { ...defaultHealthSettings(), tokens, seed };
  return open.saeHealth(model, settings, (progress) => tell({ kind: 'progress', progress }));
}

async function induction(base: string, ask: InductionAsk): Promise<InductionAnswer> {
  const open = await openLab(ask.engine);
  tell({ kind: 'opened', opened: open.opened() });
  await loadBuiltin(open, base, [ask.a, ask.b]);
  if (cancelled) throw new Cancelled();
  const settings = { ...defaultCircuitSettings(), prompts: ask.prompts, seed: ask.seed };
  const progress = (it: Progress) => tell({ kind: 'progress', progress: it });
  return {
    a: await open.inductionView(ask.a, ask.text, settings, progress),
    b: await open.inductionView(ask.b, ask.text, settings, progress),
    heads: await open.circuit(ask.a, 'head-to-logit', settings, progress),
    states: await open.circuit(ask.b, 'state-to-logit', settings, progress),
    writes: await open.circuit(ask.b, 'write-position', settings, progress),
  };
}

async function train(base: string, { model, engine: choice, plan, resume }: TrainAsk): Promise<TrainedHere[]> {
  const open = await openLab(choice);
  tell({ kind: 'opened', opened: open.opened() });
  await load(open, base, model);
  if (cancelled) throw new Cancelled();
  const checkpoints = await Checkpoints.open();
  try {
    if (!resume) checkpoints.clear();
    const watch = new TrainCallbacks(
      (progress) => tell({ kind: 'progress', progress }),
      (point) => tell({ kind: 'point', point }),
    );
    const { saes } = await open.trainSaes(nameOf(model), plan, checkpoints.last(), checkpoints, watch);
    for (const sae of saes) await keepSae(nameOf(model), sae);
    // Only now is there nothing left to go on with.
    checkpoints.clear();
    return saes.map(({ hook, recipe, stats }) => ({ hook, recipe, stats }));
  } finally {
    checkpoints.close();
  }
}

async function left(): Promise<LeftTraining | undefined> {
  if (!(await Checkpoints.begun())) return undefined;
  const checkpoints = await Checkpoints.open();
  try {
    const last = checkpoints.last();
    if (!last) return undefined;
    await init();
    return leftTraining(last);
  } finally {
    checkpoints.close();
  }
}

async function forget(): Promise<undefined> {
  const checkpoints = await Checkpoints.open();
  checkpoints.clear();
  checkpoints.close();
}

async function run(base: string, ask: Ask): Promise<Report> {
  const open = await openLab(ask.engine);
  tell({ kind: 'opened', opened: open.opened() });
  await loadBuiltin(open, base, [ask.a, ask.b]);
  if (cancelled) throw new Cancelled();
  const { file, tokens, seed } = ask;
  const plan = defaultPlan(ask.a, ask.b);
  Object.assign(plan.corpus, { tokens, seed, source: file?.name ?? 'builtin' });
  plan.controls.seed = seed;
  return open.compare(plan, file?.bytes, (progress) => tell({ kind: 'progress', progress }));
}

async function prompt(base: string, { model, engine: choice, text }: PromptAsk): Promise<PromptAnswer> {
  const open = await openLab(choice);
  const opened = open.opened();
  tell({ kind: 'opened', opened });
  const name = nameOf(model);
  const loadSeconds = await load(open, base, model);
  if (cancelled) throw new Cancelled();
  const start = performance.now();
  const prompted = await open.prompt(name, text, TOP);
  const runSeconds = (performance.now() - start) / 1000;
  return { prompted, opened, loadSeconds, runSeconds, wasmBytes: wasmBytes() };
}

/** Loads a model unless it is there; gives the seconds that took. */
async function load(open: Lab, base: string, model: ModelRef): Promise<number | undefined> {
  const name = nameOf(model);
  if (loaded.has(name)) return undefined;
  const start = performance.now();
  await (model.stored ? loadStored(open, model) : loadBuiltin(open, base, [name]));
  return (performance.now() - start) / 1000;
}

async function openLab(choice: EngineName): Promise<Lab> {
  await init();
  if (lab && engine === choice) return lab;
  lab?.free();
  loaded.clear();
  [lab, large] = [undefined, undefined];
  lab = await Lab.open(choice);
  engine = choice;
  return lab;
}

async function loadBuiltin(open: Lab, base: string, names: string[]): Promise<void> {
  const index = await readIndex(base);
  const wanted = [...new Set(names)].filter((name) => !loaded.has(name));
  const models = wanted.map((name) => {
    const model = index.models.find((m) => m.name === name);
    if (!model) throw { code: 'model', message: `${name} does not come with this page`, hint: '' } satisfies Failure;
    return model;
  });
  const total = models.flatMap((model) => model.files).reduce((sum, file) => sum + file.bytes, 0);
  let done = 0;
  for (const model of models) {
    const files = await fetchModel(base, model, (bytes) => tell({ kind: 'loading', done: (done += bytes), total }));
    open.addModel(model.name, files);
    loaded.add(model.name);
  }
}

/** Straight from the browser's storage to the engine: the weights are never in memory as a whole. */
async function loadStored(open: Lab, model: ModelRef): Promise<void> {
  const name = nameOf(model);
  if (large) {
    open.removeModel(large);
    loaded.delete(large);
    large = undefined;
  }
  await withStored(model.stored as string, (files, total) => {
    if (open.opened().engine === 'cpu' && total > MOST) {
      const hint = 'run it on a GPU, or with the command line';
      throw new HubError('model', `${name} is larger than the memory of WebAssembly, 4 GB`, hint);
    }
    tell({ kind: 'loading', done: 0, total });
    open.addModel(name, files, (done) => tell({ kind: 'loading', done: Math.min(done, total), total }));
    tell({ kind: 'loading', done: total, total });
  });
  loaded.add(name);
  large = name;
}

function failure(error: unknown): Failure {
  if (isFailure(error)) return error;
  if (error instanceof HubError) return error.failure;
  if (error instanceof Cancelled || isAbort(error)) return { code: 'cancelled', message: 'cancelled', hint: '' };
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'page', message, hint: 'check the connection and reload the page' };
}
