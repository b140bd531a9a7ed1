/**
 * The shapes of the paper's models, whole, in the page; `cargo xtask test` makes the stand-ins and says where they are.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openOnDisk } from '../browser.mjs';
import { ask, begin, card, expectSame, logits, stored } from './page';
import { Server } from './server';

/** What the page may need beside the weights. */
const BESIDE = 200e6;
const PATIENCE = 300_000;

const folder = process.env.STANDINS;

describe.runIf(folder)('at full size', () => {
  let context: BrowserContext;
  let url: string;
  let close: () => Promise<void>;
  let hub: Server;
  let profile: string;

  beforeAll(async () => {
    profile = mkdtempSync(join(tmpdir(), 'profile-'));
    ({ context, url, close } = await openOnDisk('/', profile));
    hub = await Server.start(folder);
  });
  beforeEach(() => hub.reset());
  afterAll(async () => {
    await close();
    await hub.stop();
    rmSync(profile, { recursive: true });
  });

  it.each(['pythia-160m', 'mamba-130m'])(
    '%s runs from the hub, then from storage',
    async (name) => {
      const repo = `standin/${name}`;
      const { size } = await stat(join(folder as string, repo, 'model.safetensors'));
      const want = logits(join(folder as string, repo));
      const page = await context.newPage();
      await page.goto(`${url}?hub=${hub.url}`);
      await begin(page, repo);
      // On a fast machine the figures may be gone before they are looked for.
      await Promise.all([
        card(page)
          .getByText(/ MB of .* MB/)
          .first()
          .waitFor({ timeout: PATIENCE }),
        stored(page, repo, PATIENCE),
      ]);
      const said = await card(page).getByText(`${repo} is stored`).textContent();
      expect((await hub.weights()).reduce((sum, e) => sum + e.bytes, 0)).toBe(size);
      await page.close();

      await hub.reset();
      const figures = [];
      for (const engine of ['cpu', 'gpu'] as const) {
        const again = await context.newPage();
        await again.goto(`${url}?hub=${hub.url}`);
        expectSame(await ask(again, repo, engine, PATIENCE), want, 2e-3);
        const data = await again.getByTestId('answer').evaluate((e) => ({ ...(e as HTMLElement).dataset }));
        const taken = Number(data.wasmBytes);
        expect(taken, `${engine}: memory of WebAssembly`).toBeLessThan(BESIDE + (engine === 'cpu' ? size : 0));
        const seconds = (key: string) => `${Number(data[key]).toFixed(1)} s`;
        figures.push(
          `${engine}: ${seconds('loadSeconds')} from storage, ${seconds('runSeconds')} for the prompt, ` +
            `${(taken / 1e6).toFixed(0)} MB of WebAssembly memory`,
        );
        await again.close();
      }
      expect(await hub.log(), 'requests after the first load').toEqual([]);
      console.log([`${name} (${(size / 1e6).toFixed(0)} MB)`, said?.trim(), ...figures].join('\n  '));
    },
    2 * PATIENCE,
  );
});
