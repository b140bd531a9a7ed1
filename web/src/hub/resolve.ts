/** Asks the hub what a model consists of, and decides what is needed of it. */
import { fileUrl, revisionUrl, type Address } from './address';
import { architectureOf, architectures } from './architectures';
import { HubError } from '../failure';
import { fetchSmall, type Net } from './fetch';
import { matches } from './hash';
import type { HubFile, Plan } from './plan';

/** Files the page reads whole must be small ones. */
const SMALL = 64 << 20;
const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
/** Taken where they are there: they name BOS, EOS and PAD. */
const OPTIONAL = ['tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json'];

/** What the page reads of the hub's answer. */
interface Revision {
  sha?: string;
  tags?: string[];
  cardData?: { license?: string } | null;
  siblings?: { rfilename: string; size?: number; blobId?: string; lfs?: { sha256: string; size: number } }[];
}

/** Finds the commit and its needed files. Small ones are looked into: a model the page cannot run is refused here. */
export async function resolve(at: Address, net: Net): Promise<Plan> {
  const revision = await revisionOf(at, net);
  const commit = revision.sha ?? '';
  if (!/^[0-9a-f]{40,64}$/.test(commit)) {
    throw new HubError('hub', `${at.hub} does not say which commit ${at.repo} is at`, 'check the address of the hub');
  }
  const files = new Map((revision.siblings ?? []).map((sibling) => [sibling.rfilename, stated(sibling)]));
  const sound = (path: string) => checked(files.get(path) as HubFile, at);
  const json = (path: string) => smallJson({ ...at, commit }, sound(path), net);
  const paths = await choose(at, [...files.keys()], json);
  return { ...at, commit, license: licenseOf(revision), files: paths.map(sound) };
}

/**
 * What is needed of the files of a model; `json` reads one of them. Refuses what the page cannot run.
 */
export async function choose(
  at: Pick<Address, 'repo' | 'revision'>,
  names: string[],
  json: (path: string) => Promise<unknown>,
): Promise<string[]> {
  const need = (path: string) => {
    if (names.includes(path)) return path;
    const what = path === 'tokenizer.json' ? 'a repository that brings its tokenizer' : 'a model';
    throw new HubError('model', `${at.repo} has no ${path}`, `take ${what} in Hugging Face format`);
  };
  checkArchitecture(at.repo, await json(need('config.json')));
  let weights: string[];
  if (names.includes(SINGLE)) weights = [SINGLE];
  else if (names.includes(INDEX)) weights = [INDEX, ...shardsOf(at.repo, await json(INDEX)).map(need)];
  else throw noWeights(at, names);
  const optional = OPTIONAL.filter((path) => names.includes(path));
  return ['config.json', need('tokenizer.json'), ...optional, ...weights];
}

async function revisionOf(at: Address, net: Net): Promise<Revision> {
  try {
    return parse(await fetchSmall(revisionUrl(at), SMALL, net)) as Revision;
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    const host = new URL(at.hub).host;
    if (error.code === 'missing' || error.code === 'access') {
      const name = at.revision === 'main' ? at.repo : `${at.repo} at the revision ${at.revision}`;
      throw new HubError('missing', `${host} shows no ${name}`, 'check the name; a private model needs a token');
    }
    if (error.code === 'network') {
      const advice = 'check the connection and the address of the hub; models that are stored here run without it';
      throw new HubError('network', error.message, advice);
    }
    throw error;
  }
}

const licenseOf = ({ cardData, tags = [] }: Revision): string =>
  cardData?.license ?? tags.find((tag) => tag.startsWith('license:'))?.slice('license:'.length) ?? '';

function stated(sibling: NonNullable<Revision['siblings']>[number]): HubFile {
  const { rfilename: path, size, blobId, lfs } = sibling;
  return lfs
    ? { path, bytes: lfs.size, hash: { kind: 'sha256', hex: lfs.sha256 } }
    : { path, bytes: size ?? -1, hash: { kind: 'git-sha1', hex: blobId ?? '' } };
}

function checked(file: HubFile, { hub, repo }: Address): HubFile {
  const { path, bytes, hash } = file;
  if (!Number.isSafeInteger(bytes) || bytes < 0 || !/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(hash.hex)) {
    throw new HubError('hub', `${hub} states no size or no hash for ${path} of ${repo}`, 'take another hub');
  }
  return file;
}

async function smallJson(at: Address & { commit: string }, file: HubFile, net: Net): Promise<unknown> {
  if (file.bytes > SMALL) throw new HubError('model', `${file.path} of ${at.repo} is too large`, '');
  const bytes = await fetchSmall(fileUrl(at, file.path), SMALL, net);
  if (!(await matches(file, bytes))) {
    throw new HubError('hash', `${file.path} of ${at.repo} arrived other than the hub states`, 'try again');
  }
  return parse(bytes);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(withoutPythonNumbers(new TextDecoder().decode(bytes)));
  } catch {
    throw new HubError('hub', 'the hub sent something that is no JSON', 'check the address of the hub');
  }
}

/** Python writes NaN and Infinity, which no JSON has, where no string is. */
export const withoutPythonNumbers = (json: string): string =>
  json.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (found) => (found.startsWith('"') ? found : `"${found}"`));

function checkArchitecture(repo: string, config: unknown): void {
  const told = (config ?? {}) as Record<string, unknown>;
  if (architectureOf(told)) return;
  const kind = told['model_type'];
  const found = kind === undefined ? 'names no model_type' : `is a ${kind}`;
  const titles = architectures.map(({ title }) => title).join(' and ');
  throw new HubError('model', `${repo} ${found}`, `${titles} can be run here: take one of those`);
}

function shardsOf(repo: string, index: unknown): string[] {
  const map = (index as { weight_map?: Record<string, unknown> } | null)?.weight_map ?? {};
  const shards = [...new Set(Object.values(map))].sort();
  const good = (name: unknown) => typeof name === 'string' && /^[\w-][\w.-]*\.safetensors$/.test(name);
  if (!shards.length || !shards.every(good)) {
    throw new HubError('model', `${INDEX} of ${repo} names no usable shards`, 'take another revision');
  }
  return shards as string[];
}

function noWeights({ repo, revision }: Pick<Address, 'repo' | 'revision'>, names: string[]): HubError {
  const pickle = names.find((name) => /^pytorch_model.*\.bin(\.index\.json)?$/.test(name));
  if (!pickle) {
    const advice = 'the weights may be on another branch: take owner/name@branch';
    return new HubError('model', `${repo} has no ${SINGLE}`, advice);
  }
  const from = revision === 'main' ? repo : `${repo} --revision ${revision}`;
  const advice =
    `use a repository with ${SINGLE}, or download it with \`hf download ${from} --local-dir DIR\`, ` +
    `convert it with \`${CONVERT}\` and add the folder here`;
  return new HubError('pickle', `${repo} has only ${pickle}, a pickle, which can run code when opened`, advice);
}

/** What the command line says, too (`crate/src/checkpoint/error.rs`); nothing in the pickle is run by it. */
const CONVERT =
  'python -c "import glob, torch, safetensors.torch as s; s.save_file({k: v.clone().contiguous() ' +
  "for f in glob.glob('DIR/pytorch_model*.bin') " +
  "for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}, 'DIR/model.safetensors')\"";
