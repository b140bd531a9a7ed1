/** SAEs that were trained here, in the browser's storage: a folder each, with SAELens's two files. */
import type { TrainedSae } from 'mppc';

const FOLDER = 'saes';
export const SAE_FILES = ['cfg.json', 'sae_weights.safetensors'] as const;
export type SaeFile = (typeof SAE_FILES)[number];

async function folder(): Promise<FileSystemDirectoryHandle> {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
}

/** Names of the stored SAEs: model, hook and recipe. */
export async function listSaes(): Promise<string[]> {
  const names = [];
  // Who only looks leaves no folder behind.
  const found = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER).catch(() => undefined);
  for await (const name of found?.keys() ?? []) names.push(name);
  return names.sort();
}

/** Keeps a SAE; one of the same name is replaced. The configuration is written last: without it there is no SAE. */
export async function keepSae(model: string, sae: TrainedSae): Promise<void> {
  const name = `${model} ${sae.hook} ${sae.recipe}`.replaceAll('/', ' ');
  const own = await (await folder()).getDirectoryHandle(name, { create: true });
  await own.removeEntry(SAE_FILES[0]).catch(() => undefined);
  const contents = { 'sae_weights.safetensors': sae.weights, 'cfg.json': new TextEncoder().encode(sae.config) };
  for (const file of ['sae_weights.safetensors', 'cfg.json'] as const) {
    const stream = await (await own.getFileHandle(file, { create: true })).createWritable();
    await stream.write(contents[file] as Uint8Array<ArrayBuffer>);
    await stream.close();
  }
}

/** A file of a stored SAE. */
export async function saeFile(name: string, file: SaeFile): Promise<File> {
  return (await (await (await folder()).getDirectoryHandle(name)).getFileHandle(file)).getFile();
}

export async function removeSae(name: string): Promise<void> {
  await (await folder()).removeEntry(name, { recursive: true });
}
