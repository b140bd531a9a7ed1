import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import type { Report } from 'mppc';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { open } from './browser.mjs';
import { fixture } from './fixture';

// In a folder of the server: nothing on the page may count on the root.
const FOLDER = '/some/folder/';

let browser: Browser;
let url: string;
let close: () => Promise<void>;
const pages: Page[] = [];
const complaints: string[] = [];

beforeAll(async () => {
  ({ browser, url, close } = await open(FOLDER));
});
afterAll(() => close());
afterEach(async () => {
  await Promise.all(pages.splice(0).map((page) => page.context().close()));
  expect(complaints.splice(0), 'errors in the console').toEqual([]);
});

/** Opens the page; its finished result is the fixture unless the real one is asked for. */
async function visit(options: BrowserContextOptions & { example?: object | null } = {}): Promise<Page> {
  const { example = fixture, ...context } = options;
  const page = await (await browser.newContext(context)).newPage();
  pages.push(page);
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  if (example) await page.route('**/example/report.json', (route) => route.fulfill({ json: example }));
  await page.goto(url);
  return page;
}

async function shown(page: Page): Promise<void> {
  await page.getByTestId('result').locator('svg').nth(1).waitFor();
}

/** The cells of a row of the summary, first direction. */
async function row(page: Page, key: string): Promise<string[]> {
  return page.getByTestId('summary').locator(`[data-row=${key}]`).first().locator('td').allTextContents();
}

/** The report on the page, as its download button gives it. */
async function download(page: Page): Promise<Report> {
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download report.json' }).click(),
  ]);
  expect(file.suggestedFilename()).toBe('report.json');
  let text = '';
  for await (const chunk of await file.createReadStream()) text += chunk;
  return JSON.parse(text);
}

/** The command line's report on the same tokens, by the CPU engine. */
function commandLine(tokens: number): Report {
  const mppc = process.env.MPPC;
  if (!mppc) throw new Error('set MPPC to the command line mppc; `cargo xtask test` does');
  const save = mkdtempSync(join(tmpdir(), 'mppc-'));
  const all = ['reproduce', '--tokens', `${tokens}`, '--engine', 'cpu', '--json', '--save', join(save, 'report')];
  try {
    return JSON.parse(execFileSync(mppc, all, { encoding: 'utf8', maxBuffer: 1 << 26 }));
  } finally {
    rmSync(save, { recursive: true });
  }
}

describe('the finished result', () => {
  it('is shown first, in numbers', async () => {
    const page = await visit();
    await shown(page);
    expect(await page.getByRole('heading', { level: 2 }).allTextContents()).toContain('A finished result');
    expect(await row(page, 'filtered')).toEqual(['4,000', '0.680', '0.690', '88.4%']);
    expect(await row(page, 'null')).toEqual(['4,000', '0.060', '0.070', '0.0%']);
  });

  it('that comes with the page is a report', async () => {
    const page = await visit({ example: null });
    await shown(page);
    expect((await row(page, 'filtered'))[1]).toMatch(/^0\.\d{3}$/);
  });

  it('has both directions in its figures, with tables', async () => {
    const page = await visit();
    await shown(page);
    expect(await page.getByRole('img', { name: /^Heat map: .*tiny-neox with each layer of tiny-mamba/ }).count()).toBe(
      1,
    );
    await page.getByRole('radio', { name: 'tiny-mamba → tiny-neox' }).check();
    await page.getByRole('img', { name: /^Heat map: .*tiny-mamba with each layer of tiny-neox/ }).waitFor();
    await page.getByText('Numbers of this figure').last().click();
    const table = page.getByRole('table', { name: /Mean best correlation/ });
    expect(await table.getByRole('row').count()).toBe(7);
    expect(await table.getByRole('row').nth(1).getByRole('cell').first().textContent()).toContain('0.681 (100)');
  });

  it('lists pairs with their tokens, few first', async () => {
    const page = await visit();
    await shown(page);
    const pairs = page.getByTestId('pairs').locator('tbody tr');
    expect(await pairs.count()).toBe(8);
    expect(await pairs.first().locator('mark').first().textContent()).toBe(' 1847');
    await page.getByRole('button', { name: 'Show all 20' }).click();
    expect(await pairs.count()).toBe(20);
  });

  it('can be taken away', async () => {
    const page = await visit();
    await shown(page);
    expect(await download(page)).toEqual(fixture);
  });

  it.each([
    ['light', 1100],
    ['dark', 1100],
    ['light', 360],
  ] as const)('is accessible in %s at %i pixels', async (colorScheme, width) => {
    const page = await visit({ colorScheme, viewport: { width, height: 800 } });
    await shown(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(wide, 'no sideways scrolling').toBeLessThanOrEqual(width);
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(' ')}`)).toEqual([]);
  });
});

describe('bad input', () => {
  it('of a file type that cannot be read is said at once', async () => {
    const page = await visit();
    const files = { name: 'picture.png', mimeType: 'image/png', buffer: Buffer.from('x') };
    await page.getByLabel(/\.txt, \.jsonl/).setInputFiles(files);
    expect(await page.getByRole('alert').textContent()).toContain('picture.png cannot be read');
    expect(await page.getByRole('button', { name: 'Run' }).isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Use the built-in text' }).click();
    expect(await page.getByRole('button', { name: 'Run' }).isEnabled()).toBe(true);
  });

  it('of one model twice is said at once', async () => {
    const page = await visit();
    await page.getByLabel('Model A').selectOption('tiny-mamba');
    expect(await page.getByRole('alert').textContent()).toBe('choose two different models');
  });
});

describe('a run', () => {
  it('starts from the keyboard, tells its progress and ends in a result', async () => {
    const page = await visit();
    await page.getByLabel('Engine').selectOption('cpu');
    await page.getByRole('group', { name: 'What to run' }).getByLabel('Tokens').fill('2000');
    await page.getByRole('group', { name: 'What to run' }).getByLabel('Tokens').press('Enter');
    await page
      .getByTestId('progress')
      .getByText(/Step \d of \d/)
      .waitFor();
    expect(await page.getByTestId('progress').textContent()).toContain('On the processor: asked for.');
    await page.getByRole('heading', { name: 'Your result' }).waitFor({ timeout: 100_000 });
    expect(await page.getByTestId('progress').count()).toBe(0);
    const mean = async (key: string) => Number((await row(page, key))[1]);
    expect(await mean('filtered')).toBeGreaterThan(await mean('null'));
  });

  // Both engines in the browser against the CPU engine of the command line. All compute in f32, in other orders:
  // a feature at its threshold may fire on one side alone, which moves a mean over thousands by far less.
  it.each(['cpu', 'gpu'] as const)(
    'on the %s engine gives the figures of the command line to 1e-4',
    async (engine) => {
      const tokens = 600;
      const want = commandLine(tokens);
      const page = await visit();
      await page.getByLabel('Engine').selectOption(engine);
      await page.getByRole('group', { name: 'What to run' }).getByLabel('Tokens').fill(`${tokens}`);
      await page.getByRole('button', { name: 'Run' }).click();
      await page.getByRole('heading', { name: 'Your result' }).waitFor({ timeout: 400_000 });
      const got = await download(page);
      expect(got.engine).toBe(engine);
      expect(got.tokens).toBe(want.tokens);
      for (const direction of ['a_to_b', 'b_to_a'] as const) {
        for (const kind of ['all', 'filtered', 'neurons', 'null'] as const) {
          const [g, w] = [got[direction][kind].mean, want[direction][kind].mean];
          expect(Math.abs(g! - w!), `${direction} ${kind}: ${g} on the page, ${w} on the command line`).toBeLessThan(
            1e-4,
          );
        }
      }
    },
    420_000,
  );

  it('is cancelled at once, and another can follow', async () => {
    const page = await visit();
    await page.getByLabel('Engine').selectOption('cpu');
    await page.getByRole('group', { name: 'What to run' }).getByLabel('Tokens').fill('100000');
    await page.getByRole('button', { name: 'Run' }).click();
    await page
      .getByTestId('progress')
      .getByText(/Step \d of \d/)
      .waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Run' }).waitFor({ timeout: 2_000 });
    expect(await page.getByRole('alert').count()).toBe(0);
    await page.getByRole('button', { name: 'Run' }).click();
    await page
      .getByTestId('progress')
      .getByText(/Step \d of \d/)
      .waitFor();
  });

  it('on an empty text fails in one line', async () => {
    const page = await visit();
    const files = { name: 'empty.txt', mimeType: 'text/plain', buffer: Buffer.from('') };
    await page.getByLabel(/\.txt, \.jsonl/).setInputFiles(files);
    await page.getByRole('button', { name: 'Run' }).click();
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.getAttribute('data-code')).toBe('corpus');
    expect(await alert.textContent()).toContain('empty.txt');
  });
});
