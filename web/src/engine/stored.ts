/** Models of the browser's storage, as the engine takes them. */
import { HubError } from '../failure';
import { MANIFEST, parseManifest } from '../hub/journal';
import { openForReading, opfs, orNothing } from '../hub/opfs';
import { readAll } from '../hub/store';

export type ModelContent = Map<string, Uint8Array | FileSystemSyncAccessHandle>;

/** Opens the files of a stored model for as long as `use` takes; `total` is the size of the weights. */
export async function withStored(key: string, use: (files: ModelContent, total: number) => void): Promise<void> {
  const folder = await opfs.look(key);
  const manifest = parseManifest((await folder?.text(MANIFEST)) ?? '');
  if (!manifest) throw new HubError('model', `${key} is not stored here as a whole`, 'download it first');
  const files: ModelContent = new Map();
  const handles: FileSystemSyncAccessHandle[] = [];
  let total = 0;
  try {
    for (const { path, bytes } of manifest.plan.files) {
      const handle = await orNothing(openForReading(key, path));
      if (handle) handles.push(handle);
      if (handle?.getSize() !== bytes) {
        const advice = 'delete it and download it again';
        throw new HubError('model', `${path} of ${manifest.plan.repo} is not as it was stored`, advice);
      }
      if (path.endsWith('.safetensors')) {
        files.set(path, handle);
        total += bytes;
      } else {
        files.set(path, readAll(handle, new Uint8Array(bytes), 0));
      }
    }
    use(files, total);
  } finally {
    for (const handle of handles) handle.close();
  }
}
