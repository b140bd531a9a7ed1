/** The engine's side: wasm, models and one run at a time, away from the page's thread. */
import init, { Lab, defaultSettings, type Failure } from 'mppc';
import { isFailure, type Ask, type Reply, type Request } from './messages';
import { fetchModel, readIndex } from './models';

const tell = (reply: Reply) => postMessage(reply);

let lab: Lab | undefined;
let engine: Ask['engine'] | undefined;
const loaded = new Set<string>();
let cancelled = false;

class Cancelled extends Error {}

onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.kind === 'cancel') {
    cancelled = true;
    lab?.cancel();
  } else {
    cancelled = false;
    run(data.base, data.ask).catch((error: unknown) => tell({ kind: 'failed', failure: failure(error) }));
  }
};

async function run(base: string, ask: Ask): Promise<void> {
  const open = await openLab(ask.engine);
  tell({ kind: 'opened', opened: open.opened() });
  await loadModels(open, base, [ask.a, ask.b]);
  if (cancelled) throw new Cancelled();
  const { file, tokens, seed } = ask;
  const settings = { ...defaultSettings(), tokens, seed, corpus: file?.name ?? 'builtin' };
  const report = await open.reproduce(ask.a, ask.b, settings, file?.bytes, (progress) =>
    tell({ kind: 'progress', progress }),
  );
  tell({ kind: 'report', report });
}

async function openLab(choice: Ask['engine']): Promise<Lab> {
  await init();
  if (lab && engine === choice) return lab;
  lab?.free();
  loaded.clear();
  lab = undefined;
  lab = await Lab.open(choice);
  engine = choice;
  return lab;
}

async function loadModels(open: Lab, base: string, names: string[]): Promise<void> {
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

function failure(error: unknown): Failure {
  if (isFailure(error)) return error;
  if (error instanceof Cancelled) return { code: 'cancelled', message: 'cancelled', hint: '' };
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'page', message, hint: 'check the connection and reload the page' };
}
