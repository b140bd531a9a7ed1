/** Asks the hub what a model consists of, and decides what is needed of it. */
import { fileUrl, revisionUrl, type Address } from './address';
import { HubError } from './failure';
import { fetchSmall, type Net } from './fetch';
import { matches } from './hash';
import type { HubFile, Plan } from './plan';

/** Files the page reads whole must be small ones. */
const SMALL = 64 << 20;
const ARCHITECTURES = ['gpt_neox', 'mamba'];
const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

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
  const small = async (path: string) => smallJson({ ...at, commit }, needed(files, at, path), net);
  const config = needed(files, at, 'config.json');
  checkArchitecture(at.repo, await small('config.json'));
  let weights: HubFile[];
  if (files.has(SINGLE)) weights = [needed(files, at, SINGLE)];
  else if (files.has(INDEX)) {
    const shards = shardsOf(at.repo, await small(INDEX));
    weights = [INDEX, ...shards].map((path) => needed(files, at, path));
  } else throw noWeights(at, [...files.keys()]);
  const tokenizer = needed(files, at, 'tokenizer.json');
  return { ...at, commit, license: licenseOf(revision), files: [config, tokenizer, ...weights] };
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
      const hint = 'check the connection and the address of the hub; models that are stored here run without it';
      throw new HubError('network', error.message, hint);
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

function needed(files: Map<string, HubFile>, { hub, repo }: Address, path: string): HubFile {
  const file = files.get(path);
  if (!file) {
    const hint = path === 'tokenizer.json' ? 'take a repository in Hugging Face format that brings its tokenizer' : 'take a model in Hugging Face format';
    throw new HubError('model', `${repo} has no ${path}`, hint);
  }
  const { bytes, hash } = file;
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
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new HubError('hub', 'the hub sent something that is no JSON', 'check the address of the hub');
  }
}

function checkArchitecture(repo: string, config: unknown): void {
  const { model_type: kind, d_model, n_layer } = config as Record<string, unknown>;
  if (ARCHITECTURES.includes(kind as string) || (kind === undefined && d_model && n_layer)) return;
  const found = kind === undefined ? 'names no model_type' : `is a ${kind}`;
  throw new HubError('model', `${repo} ${found}`, 'GPT-NeoX and Mamba can be run here: take one of those');
}

function shardsOf(repo: string, index: unknown): string[] {
  const map = (index as { weight_map?: Record<string, unknown> }).weight_map ?? {};
  const shards = [...new Set(Object.values(map))].sort();
  const good = (name: unknown) => typeof name === 'string' && /^[\w-][\w.-]*\.safetensors$/.test(name);
  if (!shards.length || !shards.every(good)) {
    throw new HubError('model', `${INDEX} of ${repo} names no usable shards`, 'take another revision');
  }
  return shards as string[];
}

function noWeights({ repo }: Address, names: string[]): HubError {
  const pickle = names.find((name) => /^pytorch_model.*\.bin(\.index\.json)?$/.test(name));
  if (!pickle) return new HubError('model', `${repo} has no ${SINGLE}`, 'take a model in safetensors format');
  const command =
    `python -c "from transformers import AutoModelForCausalLM as M; ` +
    `M.from_pretrained('${repo}').save_pretrained('${repo.split('/')[1]}')"`;
  const hint = `convert it with \`${command}\` and put the result on a hub`;
  return new HubError('pickle', `${repo} has only ${pickle}, a pickle, which can run code when opened`, hint);
}
