/** The health of SAEs on the page, held against the command line. */
import { execFileSync } from 'node:child_process';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { open } from './browser.mjs';
import { fixture } from './fixture';

let browser: Browser;
let url: string;
let close: () => Promise<void>;

beforeAll(async () => {
  ({ browser, url, close } = await open('/'));
});
afterAll(() => close());

/** Every number of a nested figure, by its path. */
function numbers(value: unknown, path = ''): [string, number][] {
  if (typeof value === 'number') return [[path, value]];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => numbers(inner, `${path}.${key}`));
}

it('gives the command line’s figures', { timeout: 180_000 }, async () => {
  const mppc = process.env.MPPC;
  if (!mppc) throw new Error('set MPPC to the command line mppc; `cargo xtask test` does');
  const args = ['sae', 'health', 'tiny-neox', '--tokens', '3000', '--seed', '7', '--engine', 'cpu', '--json'];
  const want = JSON.parse(execFileSync(mppc, args, { encoding: 'utf8' })) as {
    saes: { hook: string; health: object }[];
  };

  const page = await (await browser.newContext()).newPage();
  await page.route('**/example/report.json', (route) => route.fulfill({ json: fixture }));
  await page.goto(url);
  const card = page.getByTestId('health');
  await card.getByLabel('Model whose SAEs are measured').selectOption('tiny-neox');
  await card.getByLabel('Where to compute').selectOption('cpu');
  await card.getByLabel('Tokens').fill('3000');
  await card.getByLabel('Seed').fill('7');
  await card.getByRole('button', { name: 'Measure' }).click();
  await card.getByTestId('figures').or(card.getByRole('alert')).first().waitFor({ timeout: 120_000 });
  expect(await card.getByRole('alert').allTextContents()).toEqual([]);

  for (const { hook, health } of want.saes) {
    const row = card.locator(`tr[data-hook="${hook}"]`);
    const shown = new Map(numbers(JSON.parse((await row.getAttribute('data-figures'))!)));
    const wanted = numbers(health);
    expect(wanted.length).toBeGreaterThan(50);
    for (const [path, value] of wanted) {
      // Sums are made in another order: a token near its k-th feature may take another, a feature change its bin.
      const counts = /counts|zero$/.test(path);
      const most = counts ? 2 : 2e-3 * Math.max(1, Math.abs(value));
      expect(
        Math.abs(shown.get(path)! - value),
        `${hook}${path}: ${shown.get(path)} instead of ${value}`,
      ).toBeLessThanOrEqual(most);
    }
  }
  expect(await card.locator('figure svg').count()).toBe(3);
  const cells = await card.locator('tr[data-hook="blocks.0.hook_resid_post"] td').allTextContents();
  expect(cells[0]).toBe('16.0');
});

it('stops when it is asked to', { timeout: 60_000 }, async () => {
  const page = await (await browser.newContext()).newPage();
  await page.route('**/example/report.json', (route) => route.fulfill({ json: fixture }));
  await page.goto(url);
  const card = page.getByTestId('health');
  await card.getByLabel('Tokens').fill('5000000');
  await card.getByRole('button', { name: 'Measure' }).click();
  await card
    .getByText(/tokens$/)
    .first()
    .waitFor();
  await card.getByRole('button', { name: 'Cancel the measurement' }).click();
  await card.getByRole('button', { name: 'Measure' }).waitFor();
  expect(await card.getByRole('alert').count()).toBe(0);
});
