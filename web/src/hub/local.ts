/** Models from a folder of this computer: copied into the store as if that were a hub. */
import { createSHA256 } from 'hash-wasm';
import { download, OPTIONS, type Progress, type Source } from './download';
import { HubError } from '../failure';
import { NET, sleep } from './fetch';
import { sha256 } from './hash';
import { lookInside } from './inside';
import { keyOf, LOCAL, type HubFile, type Plan } from './plan';
import { choose } from './resolve';
import type { Store } from './store';

/** The files of a folder by name. */
export type LocalFiles = Map<string, Blob>;

const STRETCH = 4 << 20;

/** What would be copied of a folder; its files are looked into, and hashed. */
export async function planFolder(name: string, files: LocalFiles, signal?: AbortSignal): Promise<Plan> {
  const repo = `local/${name.replace(/[^\w.-]/g, '-') || 'model'}`;
  const json = async (path: string): Promise<unknown> => {
    try {
      return JSON.parse(await (files.get(path) as Blob).text());
    } catch {
      throw new HubError('model', `${path} of ${name} is no JSON`, 'write the model again');
    }
  };
  const paths = await choose({ repo: name, revision: 'main' }, [...files.keys()], json);
  const sized = paths.map((path) => ({ path, bytes: (files.get(path) as Blob).size }));
  await lookInside(name, sized, async (path, from, bytes) => {
    const part = (files.get(path) as Blob).slice(from, from + bytes);
    return new Uint8Array(await part.arrayBuffer());
  });
  const stated: HubFile[] = [];
  for (const path of paths) stated.push(await hashed(path, files.get(path) as Blob, signal));
  const commit = await sha256(new TextEncoder().encode(JSON.stringify(stated)));
  return { hub: LOCAL, repo, revision: 'main', commit: commit.slice(0, 40), license: '', files: stated };
}

/** Copies the files of such a plan. What is not finished is not kept: the folder is still there. */
export async function copyFolder(
  plan: Plan,
  files: LocalFiles,
  store: Store,
  tell: (at: Progress) => void,
  signal?: AbortSignal,
): Promise<void> {
  const source: Source = {
    async part({ path, from, into }, { signal: stop }, arrived) {
      stop?.throwIfAborted();
      const bytes = await (files.get(path) as Blob).slice(from, from + into.length).arrayBuffer();
      if (bytes.byteLength !== into.length) throw changed(plan);
      into.set(new Uint8Array(bytes));
      arrived(into.length);
    },
  };
  try {
    await download(plan, store, { ...OPTIONS, atOnce: 1, net: { ...NET, signal }, source }, tell);
  } catch (error) {
    if (!(error instanceof HubError && error.code === 'busy')) await store.remove(keyOf(plan));
    if (error instanceof HubError && error.code === 'hash') throw changed(plan);
    throw error;
  }
}

const changed = ({ repo }: Plan) =>
  new HubError('model', `the files of ${repo} changed while they were copied`, 'add the folder again');

async function hashed(path: string, file: Blob, signal?: AbortSignal): Promise<HubFile> {
  const hasher = (await createSHA256()).init();
  for (let at = 0; at < file.size; at += STRETCH) {
    hasher.update(new Uint8Array(await file.slice(at, at + STRETCH).arrayBuffer()));
    await sleep(0, signal);
  }
  return { path, bytes: file.size, hash: { kind: 'sha256', hex: hasher.digest() } };
}
