/** SAEs that were trained here, in the browser's storage: a folder each, with SAELens's two files. */
import type { TrainedSae } from 'mppc';
import { directory, orNothing } from '../hub/opfs';
import { full } from '../hub/store';

const FOLDER = 'saes';
const [CONFIG, WEIGHTS] = ['cfg.json', 'sae_weights.safetensors'] as const;
export const SAE_FILES = [CONFIG, WEIGHTS] as const;
export type SaeFile = (typeof SAE_FILES)[number];

async function folder(): Promise<FileSystemDirectoryHandle> {
  return (await directory()).getDirectoryHandle(FOLDER, { create: true });
}

/** The folders of all SAEs, whole or not. Who only looks leaves no folder behind. */
async function* folders(): AsyncGenerator<[string, FileSystemDirectoryHandle]> {
  const found = await orNothing((await directory()).getDirectoryHandle(FOLDER));
  for await (const [name, handle] of found?.entries() ?? []) {
    if (handle.kind === 'directory') yield [name, handle as FileSystemDirectoryHandle];
  }
}

/** Whether all files of a SAE were written to their ends. */
async function isWhole(own: FileSystemDirectoryHandle): Promise<boolean> {
  const sizes = SAE_FILES.map(async (file) => {
    const handle = await orNothing(own.getFileHandle(file));
    return handle ? (await handle.getFile()).size : 0;
  });
  return (await Promise.all(sizes)).every((size) => size > 0);
}

/** Names of the SAEs that are whole: model, hook and recipe. */
export async function listSaes(): Promise<string[]> {
  const names = [];
  for await (const [name, own] of folders()) if (await isWhole(own)) names.push(name);
  return names.sort();
}

/** Removes what a tab that was closed has left half written; for who trains alone. */
export async function sweepSaes(): Promise<void> {
  const names = [];
  for await (const [name, own] of folders()) if (!(await isWhole(own))) names.push(name);
  for (const name of names) await removeSae(name);
}

/**
 * Keeps a SAE; one of the same name is replaced once the new one's weights are on the disk. The configuration is
 * written last: without it there is no SAE. One that does not become whole is removed.
 */
export async function keepSae(model: string, sae: TrainedSae): Promise<void> {
  const name = `${model} ${sae.hook} ${sae.recipe}`.replaceAll('/', ' ');
  const own = await (await folder()).getDirectoryHandle(name, { create: true });
  try {
    // Beside the old file, in whose place it is put by `close`.
    const stream = await (await own.getFileHandle(WEIGHTS, { create: true })).createWritable();
    await wholeOr(stream, () => stream.write(sae.weights as Uint8Array<ArrayBuffer>));
    await orNothing(own.removeEntry(CONFIG));
    await stream.close();
    // A full storage may say nothing at all.
    if ((await (await own.getFileHandle(WEIGHTS)).getFile()).size !== sae.weights.length) throw full();
    const config = await (await own.getFileHandle(CONFIG, { create: true })).createWritable();
    await wholeOr(config, () => config.write(new TextEncoder().encode(sae.config)));
    await config.close();
  } catch (error) {
    if (!(await isWhole(own))) await removeSae(name);
    throw error;
  }
}

/** Lets go of what was written where not all of it could be. */
async function wholeOr(stream: FileSystemWritableFileStream, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    // It may have failed by itself already; the first error is the one to tell.
    await stream.abort().catch(() => undefined);
    throw error;
  }
}

/** A file of a stored SAE. */
export async function saeFile(name: string, file: SaeFile): Promise<File> {
  return (await (await (await folder()).getDirectoryHandle(name)).getFileHandle(file)).getFile();
}

/** Removes a SAE; one that another tab has removed is gone as well. */
export async function removeSae(name: string): Promise<void> {
  await orNothing((await folder()).removeEntry(name, { recursive: true }));
}
