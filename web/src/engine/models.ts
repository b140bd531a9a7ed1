/** The models that come with the page. */
import { ownBytes, ownJson } from '../own';

/** `models/index.json`, written by the build. */
export interface ModelIndex {
  models: ModelFiles[];
}

export interface ModelFiles {
  name: string;
  /** Names relative to the model's folder, and sizes. */
  files: { path: string; bytes: number }[];
}

let index: Promise<ModelIndex> | undefined;

/** The index, fetched once; `base` is the folder of index.html. */
export function readIndex(base: string): Promise<ModelIndex> {
  index ??= ownJson<ModelIndex>('models/index.json', base).catch((error: unknown) => {
    // The next one to ask tries again.
    index = undefined;
    throw error;
  });
  return index;
}

/** Fetches a model's files; `arrived` is told the bytes of each as it comes. */
export async function fetchModel(
  base: string,
  model: ModelFiles,
  arrived: (bytes: number) => void,
): Promise<Map<string, Uint8Array>> {
  const fetched = model.files.map(async ({ path, bytes }) => {
    const content = await ownBytes(`models/${model.name}/${path}`, base, bytes);
    arrived(bytes);
    return [path, content] as const;
  });
  return new Map(await Promise.all(fetched));
}
