import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Plugin } from 'vite';
import type { ModelIndex } from '../src/engine/models.ts';

/** What the engine reads of a model's folder; the rest (how it was trained, its health) stays behind. */
const READ = /\.(json|safetensors)$/;

/** Copies the model folders into the build, under `models/`, and lists them in `models/index.json`. */
export function models(folder: string): Plugin {
  return {
    name: 'models',
    apply: 'build',
    async generateBundle() {
      const index: ModelIndex = { models: [] };
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
      for (const { name } of entries.filter((entry) => entry.isDirectory())) {
        const root = join(folder, name);
        const files = await filesOf(root);
        if (!files.some((file) => file.path === 'config.json')) continue;
        index.models.push({ name, files });
        for (const { path } of files) {
          this.emitFile({
            type: 'asset',
            fileName: `models/${name}/${path}`,
            source: await readFile(join(root, path)),
          });
        }
      }
      this.emitFile({ type: 'asset', fileName: 'models/index.json', source: JSON.stringify(index) });
    },
  };
}

async function filesOf(root: string) {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries.filter((e) => e.isFile() && READ.test(e.name)).map((e) => join(e.parentPath, e.name));
  return Promise.all(
    paths.sort().map(async (path) => ({
      path: relative(root, path).split(sep).join('/'),
      bytes: (await stat(path)).size,
    })),
  );
}
