import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';
import { models } from './plugins/models.ts';

const repository = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

export default defineConfig({
  // Relative addresses, so that the built page works in any folder of any server.
  base: './',
  plugins: [svelte(), models(repository('models'))],
  resolve: { alias: { mppc: repository('pkg/mppc.js') } },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // The wasm is a file of its own, whatever its size.
    assetsInlineLimit: 0,
    // Plot is most of it; the figures are on the first screen.
    chunkSizeWarningLimit: 600,
  },
  server: { fs: { allow: ['.', repository('pkg')] } },
  test: {
    include: ['tests/**/*.test.ts'],
    // Each file has a browser, which takes all of a small machine.
    fileParallelism: false,
    // A run on the processor engine, on a busy machine.
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
