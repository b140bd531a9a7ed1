/** `models/index.json`, written by the build: the models that come with the page. */
export interface ModelIndex {
  models: ModelFiles[];
}

export interface ModelFiles {
  name: string;
  /** Names relative to the model's folder, and sizes. */
  files: { path: string; bytes: number }[];
}

/** Where the page keeps its files: the folder of index.html. */
export async function readIndex(base: string): Promise<ModelIndex> {
  const response = await fetch(new URL('models/index.json', base));
  if (!response.ok) throw new Error(`models/index.json: ${response.status} ${response.statusText}`);
  return (await response.json()) as ModelIndex;
}

/** Fetches a model's files; `arrived` is told the bytes of each as it comes. */
export async function fetchModel(
  base: string,
  model: ModelFiles,
  arrived: (bytes: number) => void,
): Promise<Map<string, Uint8Array>> {
  const fetched = model.files.map(async ({ path, bytes }) => {
    const response = await fetch(new URL(`models/${model.name}/${path}`, base));
    if (!response.ok) throw new Error(`${model.name}/${path}: ${response.status} ${response.statusText}`);
    const content = new Uint8Array(await response.arrayBuffer());
    if (content.length !== bytes) {
      throw new Error(`${model.name}/${path}: ${content.length} bytes instead of ${bytes}`);
    }
    arrived(bytes);
    return [path, content] as const;
  });
  return new Map(await Promise.all(fetched));
}
