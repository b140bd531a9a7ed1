/** The engine's side: wasm, models and one run at a time, away from the page's thread. */
import init, { Lab, defaultSettings, wasmBytes, type Failure, type Report } from 'mppc';
import { isAbort, HubError } from '../hub/failure';
import { isFailure, type Ask, type EngineName, type ModelRef, type PromptAnswer, type PromptAsk } from './messages';
import type { Reply, Request } from './messages';
import { fetchModel, readIndex } from './models';
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
  const work = data.kind === 'run' ? run(data.base, data.ask) : prompt(data.base, data.ask);
  work.then(
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

async function run(base: string, ask: Ask): Promise<Report> {
  const open = await openLab(ask.engine);
  tell({ kind: 'opened', opened: open.opened() });
  await loadBuiltin(open, base, [ask.a, ask.b]);
  if (cancelled) throw new Cancelled();
  const { file, tokens, seed } = ask;
  const settings = { ...defaultSettings(), tokens, seed, corpus: file?.name ?? 'builtin' };
  return open.reproduce(ask.a, ask.b, settings, file?.bytes, (progress) => tell({ kind: 'progress', progress }));
}

async function prompt(base: string, { model, engine: choice, text }: PromptAsk): Promise<PromptAnswer> {
  const open = await openLab(choice);
  const opened = open.opened();
  tell({ kind: 'opened', opened });
  const name = nameOf(model);
  let loadSeconds: number | undefined;
  if (!loaded.has(name)) {
    const start = performance.now();
    await (model.stored ? loadStored(open, model) : loadBuiltin(open, base, [name]));
    loadSeconds = (performance.now() - start) / 1000;
  }
  if (cancelled) throw new Cancelled();
  const start = performance.now();
  const prompted = await open.prompt(name, text, TOP);
  const runSeconds = (performance.now() - start) / 1000;
  return { prompted, opened, loadSeconds, runSeconds, wasmBytes: wasmBytes() };
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

/** What the engine calls a model; two commits of a repository are two models. */
const nameOf = ({ name, stored }: ModelRef): string =>
  stored ? `${name}@${stored.slice(stored.lastIndexOf('@') + 1).slice(0, 12)}` : name;

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
