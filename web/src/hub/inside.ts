/**
 * Whether files are what their names say, and of one model: before a folder is copied, and before a download counts as
 * whole. A hash says that bytes are those that were meant, not that they are any use. Only headers are read.
 */
import { HubError } from '../failure';
import { architectureOf } from './architectures';

/** Reads up to `bytes` bytes of a file; fewer at its end. */
export type Read = (path: string, from: number, bytes: number) => Uint8Array | Promise<Uint8Array>;

interface Sized {
  path: string;
  bytes: number;
}

/** A tensor of a safetensors header. */
interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** As the format itself allows at most (bytes). */
const LONGEST_HEADER = 100_000_000;
/** Bytes of an element; of kinds that are not listed sizes are not checked. */
const WIDTHS: Record<string, number> = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};
/** Tables with a row for each token, by which the width of a model is known. */
const TABLE = /(^|\.)(embed_in|embed_out|embeddings?|lm_head)\.weight$/;
const AGAIN = 'take the files of one model, as they were saved together';

/** Looks into the files of a model, of a folder or a repository named `repo`. */
export async function lookInside(repo: string, files: Sized[], read: Read): Promise<void> {
  const tensors = new Map<string, number[]>();
  for (const file of files.filter(({ path }) => path.endsWith('.safetensors'))) {
    for (const [name, { shape }] of await headerOf(repo, file, read)) tensors.set(name, shape);
  }
  const json = (path: string) =>
    object(
      repo,
      files.find((file) => file.path === path),
      read,
    );
  const tokenizer = await json('tokenizer.json');
  if (typeof tokenizer['model'] !== 'object' || !tokenizer['model']) {
    throw new HubError(
      'model',
      `tokenizer.json of ${repo} holds no tokenizer`,
      'save the tokenizer again, as a fast one',
    );
  }
  fits(repo, await json('config.json'), tensors);
}

async function object(repo: string, file: Sized | undefined, read: Read): Promise<Record<string, unknown>> {
  const path = file?.path ?? 'a file';
  const value = file && parse(await read(path, 0, file.bytes));
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new HubError('model', `${path} of ${repo} is no JSON object`, 'write the model again');
}

async function headerOf(repo: string, { path, bytes }: Sized, read: Read): Promise<[string, Entry][]> {
  const wrong = (why: string) =>
    new HubError('model', `${path} of ${repo} is no whole safetensors file: ${why}`, 'save or download it again');
  const start = await read(path, 0, 8);
  if (start.length < 8) throw wrong(`it has ${bytes} bytes`);
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length > BigInt(Math.min(LONGEST_HEADER, bytes - 8))) throw wrong('what it says of its header cannot be');
  const header = parse(await read(path, 8, Number(length)));
  if (typeof header !== 'object' || header === null) throw wrong('its header is no JSON');
  const entries = Object.entries(header as Record<string, Entry>).filter(([name]) => name !== '__metadata__');
  const end = bytes - 8 - Number(length);
  for (const [name, entry] of entries)
    if (!isEntry(entry, end)) throw wrong(`its tensor ${name.slice(0, 200)} does not fit into it`);
  const last = Math.max(0, ...entries.map(([, { data_offsets }]) => data_offsets[1]));
  if (last !== end) throw wrong(`its tensors end at byte ${last}, its data at ${end}`);
  return entries;
}

function isEntry(entry: Entry | null, end: number): boolean {
  const { dtype, shape, data_offsets: offsets } = entry ?? {};
  if (typeof dtype !== 'string' || !Array.isArray(shape) || !Array.isArray(offsets) || offsets.length !== 2)
    return false;
  const [from, to] = offsets;
  if (![...shape, from, to].every((n) => Number.isSafeInteger(n) && n >= 0) || from > to || to > end) return false;
  const width = WIDTHS[dtype];
  return width === undefined || shape.reduce((product, n) => product * n, width) === to - from;
}

/** Whether a model of this configuration has such tensors: its tables' width, and something of each layer. */
function fits(repo: string, config: Record<string, unknown>, tensors: Map<string, number[]>): void {
  const size = (...names: string[]): number => {
    const name = names.find((name) => config[name] !== undefined) ?? (names[0] as string);
    const value = config[name];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
    const says =
      value === undefined ? `does not say ${name}` : `says ${name} ${String(JSON.stringify(value)).slice(0, 200)}`;
    throw new HubError(
      'model',
      `config.json of ${repo} ${says}`,
      'take the configuration that the model was saved with',
    );
  };
  const [width, layers, vocabulary] = [
    size('hidden_size', 'd_model'),
    size('num_hidden_layers', 'n_layer'),
    size('vocab_size'),
  ];
  const other = (why: string) =>
    new HubError('model', `the weights of ${repo} are not those of its config.json: ${why}`, AGAIN);
  const tables = [...tensors].filter(([name]) => TABLE.test(name));
  if (!tables.length) throw other('they have no embedding');
  for (const [name, [rows = 0, columns = 0]] of tables) {
    if (columns !== width || rows < vocabulary) {
      throw other(`${name} is ${rows} × ${columns}, where ${vocabulary} tokens of width ${width} are told`);
    }
  }
  // What a layer of the one has and one of the other has not.
  const part = architectureOf(config)?.part ?? '';
  const layer = new RegExp(`(?:^|\\.)layers\\.(\\d+)\\.${part}\\.`);
  const found = new Set([...tensors.keys()].flatMap((name) => layer.exec(name)?.[1] ?? []));
  // As many as there are weights for; a number of any size is looked for no further than that.
  const missing = Array.from({ length: Math.min(layers, found.size + 1) }, (_, l) => `${l}`).find((l) => !found.has(l));
  if (missing !== undefined) throw other(`${layers} layers are told, but there is no ${part} of layer ${missing}`);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
