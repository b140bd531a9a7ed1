/** Training in the page: its curves, its SAE, and a tab that is closed in the middle of it. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { open } from './browser.mjs';
import { fixture } from './fixture';

let browser: Browser;
let url: string;
let close: () => Promise<void>;
let context: BrowserContext;

beforeAll(async () => {
  ({ browser, url, close } = await open('/'));
});
afterAll(() => close());
afterEach(() => context.close());

/** One browser's storage; its tabs are the pages. */
async function tab(): Promise<Page> {
  const page = await context.newPage();
  await page.route('**/example/report.json', (route) => route.fulfill({ json: fixture }));
  await page.goto(url);
  return page;
}

const card = (page: Page) => page.getByTestId('train');

interface Wish {
  kind: string;
  number: number;
  tokens: number;
  engine?: string;
}

async function fill(page: Page, { kind, number, tokens, engine = 'cpu' }: Wish): Promise<void> {
  const form = card(page);
  await form.getByLabel('Model to train on').selectOption('tiny-neox');
  await form.getByLabel('Kind of SAE').selectOption(kind);
  await form
    .locator('label', { hasText: /keeps|costs|Weight/ })
    .locator('input')
    .fill(String(number));
  await form.getByLabel('Where to compute').selectOption(engine);
  await form.getByLabel('Features', { exact: true }).fill('256');
  await form.getByLabel('Tokens', { exact: true }).fill(String(tokens));
}

const begin = (page: Page) => card(page).getByRole('button', { name: 'Train', exact: true }).click();

/** Waits for the end; a failure that the page shows is one. */
async function trained(page: Page): Promise<void> {
  const done = card(page).getByTestId('trained');
  const failed = card(page).getByRole('alert');
  await done.or(failed).first().waitFor({ timeout: 180_000 });
  if (await failed.count()) throw new Error((await failed.first().textContent()) ?? '');
}

async function weights(page: Page): Promise<Buffer> {
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    card(page)
      .getByRole('button', { name: /^sae_weights/ })
      .click(),
  ]);
  const parts = [];
  for await (const part of await file.createReadStream()) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

it('trains, draws its curves and keeps a SAE that the command line reads', { timeout: 240_000 }, async () => {
  context = await browser.newContext();
  const page = await tab();
  await fill(page, { kind: 'topk', number: 8, tokens: 102_400 });
  await begin(page);
  await trained(page);
  const rows = await card(page).getByTestId('curve').locator('tbody tr').allTextContents();
  expect(rows.length).toBe(2); // 100 steps, read every 50
  expect(rows[1]).toContain('102,400');
  expect(await card(page).locator('figure svg').count()).toBe(5);
  const mppc = process.env.MPPC;
  if (!mppc) throw new Error('set MPPC to the command line mppc; `cargo xtask test` does');
  const folder = mkdtempSync(join(tmpdir(), 'mppc-'));
  try {
    const args = [
      'sae',
      'train',
      'tiny-neox',
      '--hook',
      'blocks.1.hook_resid_post',
      '--features',
      '256',
      '--topk',
      '8',
    ];
    execFileSync(mppc, [...args, '--tokens', '102400', '--engine', 'cpu', '--save', folder, '--json']);
    const curve = readFileSync(join(folder, 'training.csv'), 'utf8').trim().split('\n').at(-1)!.split(',');
    const shown = (
      await card(page).getByTestId('curve').locator('tbody tr').last().locator('td').allTextContents()
    ).map((text) => Number(text.replace(/[,%]/g, '')));
    // Sums are made in another order in the page, and training carries that on: a hundred steps, figures to 1 %.
    expect(shown[2]).toBe(8);
    expect(Math.abs(shown[3]! - Number(curve[7])), 'explained variance').toBeLessThan(0.01);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const wish: Wish = { kind: 'l1', number: 0.003, tokens: 307_200 };
let whole: string | undefined;

/** What the wish gives when nobody stops it. */
async function uninterrupted(): Promise<string> {
  if (whole) return whole;
  context = await browser.newContext();
  const page = await tab();
  await fill(page, wish);
  await begin(page);
  await trained(page);
  whole = sha(await weights(page));
  await context.close();
  return whole;
}

it.each([
  ['cancelled', async (page: Page) => card(page).getByRole('button', { name: 'Cancel the training' }).click()],
  ['closed', async (page: Page) => page.close()],
])('goes on to the same bits after it was %s', { timeout: 400_000 }, async (how, stop) => {
  const want = await uninterrupted();
  context = await browser.newContext();
  let page = await tab();
  expect(await card(page).getByTestId('left').count()).toBe(0);
  await fill(page, wish);
  await begin(page);
  // After the first checkpoint, which comes after five seconds; a run that is cancelled leaves one at once.
  await card(page).locator('figure').waitFor({ timeout: 60_000 });
  if (how === 'closed') await page.waitForTimeout(6_000);
  await stop(page);
  if (how === 'cancelled') await card(page).getByTestId('left').waitFor();
  await page.close();

  page = await tab();
  await card(page).getByTestId('left').waitFor();
  await card(page).getByLabel('Where to compute').selectOption('cpu');
  await card(page).getByRole('button', { name: 'Resume the training' }).click();
  await trained(page);
  expect(sha(await weights(page))).toBe(want);
  expect(await card(page).getByTestId('left').count()).toBe(0);
});

it('says what is wrong with a wish, and that a hook matches nothing', { timeout: 120_000 }, async () => {
  context = await browser.newContext();
  const page = await tab();
  await fill(page, { kind: 'topk', number: 300, tokens: 10_240 });
  await begin(page);
  const alert = card(page).getByRole('alert');
  await alert.waitFor();
  expect(await alert.textContent()).toContain('k is 300, but must be between 1 and the number of features, 256');
  await card(page).getByLabel('Hook').fill('blocks.9.hook_resid_post');
  await begin(page);
  await card(page).getByText('no hook of tiny-neox').waitFor();
});

const stop = async (page: Page) => {
  await card(page).locator('figure').waitFor({ timeout: 60_000 });
  await card(page).getByRole('button', { name: 'Cancel the training' }).click();
  await card(page).getByTestId('left').waitFor();
};

it('never takes the place of an unfinished one without asking', { timeout: 240_000 }, async () => {
  context = await browser.newContext();
  const page = await tab();
  const box = card(page).getByTestId('left');
  await fill(page, { kind: 'topk', number: 8, tokens: 5_120_000 });
  await begin(page);
  await stop(page);
  const left = await box.locator('p').first().textContent();
  expect(left).toMatch(/of\s+5,120,000 tokens/);

  // Asked, and kept.
  await fill(page, { kind: 'topk', number: 8, tokens: 10_240 });
  await begin(page);
  const keep = box.getByRole('button', { name: 'Keep it' });
  await expect.poll(() => keep.evaluate((it) => it === document.activeElement)).toBe(true);
  await keep.click();
  expect(await box.locator('p').first().textContent()).toBe(left);
  expect(await card(page).getByTestId('progress').count()).toBe(0);

  // A new one that cannot be done destroys nothing, even where it was said that it may.
  await fill(page, { kind: 'topk', number: 300, tokens: 10_240 });
  await begin(page);
  await box.getByRole('button', { name: 'Train anew and lose it' }).click();
  await card(page).getByText('k is 300').waitFor();
  await expect.poll(() => box.locator('p').first().textContent()).toBe(left);
  const other = await tab();
  await card(other).getByTestId('left').waitFor();
  await other.close();

  await fill(page, { kind: 'topk', number: 8, tokens: 10_240 });
  await begin(page);
  await box.getByRole('button', { name: 'Train anew and lose it' }).click();
  await trained(page);
  await box.waitFor({ state: 'detached' });

  // Forgotten when it was said twice.
  await fill(page, { kind: 'topk', number: 8, tokens: 5_120_000 });
  await begin(page);
  await stop(page);
  await box.getByRole('button', { name: 'Forget it' }).click();
  await box.getByRole('button', { name: 'Keep it' }).click();
  await box.getByRole('button', { name: 'Forget it' }).click();
  await box.getByRole('button', { name: 'Forget it for good' }).click();
  await box.waitFor({ state: 'detached' });
});

it(
  'in one tab is told in the other, which is offered what is left when that is closed',
  { timeout: 120_000 },
  async () => {
    context = await browser.newContext();
    const one = await tab();
    await fill(one, { kind: 'topk', number: 8, tokens: 5_120_000 });
    await begin(one);
    await card(one).locator('figure').waitFor({ timeout: 60_000 });
    await one.waitForTimeout(6_000);
    const two = await tab();
    await card(two).getByTestId('elsewhere').waitFor();
    // Its own wish is refused, and the other goes on.
    await fill(two, { kind: 'topk', number: 8, tokens: 10_240 });
    await begin(two);
    await card(two).getByRole('alert').waitFor();
    expect(await card(two).getByRole('alert').first().textContent()).toContain('another tab is training');
    expect(await card(one).getByTestId('progress').count()).toBe(1);
    await one.close();
    await card(two).getByTestId('left').waitFor();
    expect(await card(two).getByTestId('elsewhere').count()).toBe(0);
  },
);

/**
 * Writes files into folders of the page's storage, from an empty page of its origin: the page itself holds its files
 * open while it reads them, and they cannot be written then.
 */
async function put(folders: Record<string, Record<string, string>>): Promise<void> {
  const page = await context.newPage();
  const empty = new URL('empty.html', url).href;
  await page.route(empty, (route) => route.fulfill({ contentType: 'text/html', body: '' }));
  await page.goto(empty);
  await page.evaluate(async (folders) => {
    for (const [path, files] of Object.entries(folders)) {
      let folder = await navigator.storage.getDirectory();
      for (const name of path.split('/')) folder = await folder.getDirectoryHandle(name, { create: true });
      for (const [file, text] of Object.entries(files)) {
        const stream = await (await folder.getFileHandle(file, { create: true })).createWritable();
        await stream.write(text);
        await stream.close();
      }
    }
  }, folders);
  await page.close();
}

it(
  'that left something unreadable is said to, and makes room when that is forgotten',
  { timeout: 120_000 },
  async () => {
    context = await browser.newContext();
    await put({ training: { a: 'this is no checkpoint', b: '', current: 'a' } });
    const page = await tab();
    const box = card(page).getByTestId('left');
    await box.waitFor();
    expect(await box.textContent()).toContain('an unfinished training is stored here, but');
    expect(await box.getByRole('button').allTextContents()).toEqual([expect.stringContaining('Forget it')]);
    await fill(page, { kind: 'topk', number: 8, tokens: 10_240 });
    await begin(page);
    await box.getByRole('button', { name: 'Keep it' }).click();
    await box.getByRole('button', { name: 'Forget it' }).click();
    await box.getByRole('button', { name: 'Forget it for good' }).click();
    await box.waitFor({ state: 'detached' });
    await begin(page);
    await trained(page);
  },
);

it('lists SAEs that are whole, and says when another tab has deleted one', { timeout: 60_000 }, async () => {
  context = await browser.newContext();
  await put({
    'saes/whole': { 'cfg.json': '{}', 'sae_weights.safetensors': 'x' },
    'saes/half': { 'sae_weights.safetensors': 'x' },
    'saes/empty': { 'cfg.json': '{}', 'sae_weights.safetensors': '' },
  });
  const page = await tab();
  const rows = card(page).getByTestId('saes').locator('tbody tr');
  await rows.first().waitFor();
  expect(await rows.locator('th').allTextContents()).toEqual(['whole']);
  await page.evaluate(async () => {
    const saes = await (await navigator.storage.getDirectory()).getDirectoryHandle('saes');
    await saes.removeEntry('whole', { recursive: true });
  });
  await rows.getByRole('button', { name: 'cfg.json' }).click();
  await card(page).getByRole('alert').waitFor();
  expect(await card(page).getByRole('alert').textContent()).toContain('not there any more');
  await rows.first().waitFor({ state: 'detached' });
});
