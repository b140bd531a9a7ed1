/** Models from the local hub in a browser: its storage, its quota, its tabs. */
import { spawnSync } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { open } from '../browser.mjs';
import { ask, begin as beginAt, card, expectSame, logits, look, stored as storedAt } from './page';
import { MODELS, Server } from './server';

const REPO = 'test/tiny-neox';
const WEIGHTS = 'model.safetensors';
const PART = 128 << 10;

let browser: Browser;
let url: string;
let close: () => Promise<void>;
let hub: Server;
let size: number;
let contexts: BrowserContext[] = [];

beforeAll(async () => {
  ({ browser, url, close } = await open('/lab/'));
  hub = await Server.start();
  await hub.putModel(REPO);
  await hub.putModel('test/tiny-mamba', 'tiny-mamba');
  await hub.putModel(`${REPO}@old`, 'tiny-mamba');
  await hub.putShards('test/shards', 3);
  await hub.put('test/pickle', { 'config.json': '{"model_type":"gpt_neox"}', 'pytorch_model.bin': 'x' });
  size = (await stat(join(MODELS, 'tiny-neox', WEIGHTS))).size;
});
afterAll(async () => {
  await close();
  await hub.stop();
});
beforeEach(() => hub.reset());
afterEach(async () => {
  await Promise.all(contexts.splice(0).map((context) => context.close()));
});

async function browserContext(options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  contexts.push(context);
  return context;
}

async function visit(context?: BrowserContext): Promise<Page> {
  const page = await (context ?? (await browserContext())).newPage();
  await page.goto(`${url}?hub=${hub.url}&part=${PART}`);
  await page.getByTestId('room').waitFor();
  return page;
}

/** Looks a model up and begins, or resumes, its download. */
const begin = (page: Page, repo = REPO) => beginAt(page, repo);
const stored = (page: Page, repo = REPO) => storedAt(page, repo);
const row = (page: Page, repo: string) => page.getByTestId('stored').getByRole('row', { name: repo });

async function failure(page: Page, code: string): Promise<string> {
  const alert = card(page).getByRole('alert');
  await alert.waitFor();
  expect(await alert.getAttribute('data-code')).toBe(code);
  return (await alert.textContent()) ?? '';
}

/** Every file in the storage of the page, with its size. */
const files = (page: Page) =>
  page.evaluate(async () => {
    const found: Record<string, number> = {};
    const walk = async (folder: FileSystemDirectoryHandle, path: string) => {
      for await (const [name, handle] of folder.entries()) {
        if (handle instanceof FileSystemDirectoryHandle) await walk(handle, `${path}${name}/`);
        else found[path + name] = (await (handle as FileSystemFileHandle).getFile()).size;
      }
    };
    await walk(await navigator.storage.getDirectory(), '');
    return found;
  });

/** Waits until so much of a download has arrived. */
async function arrived(page: Page, part: number): Promise<void> {
  await page.waitForFunction((least) => {
    const bar = document.querySelector<HTMLProgressElement>('[data-testid=download] progress[value]');
    return bar && bar.value / bar.max > least;
  }, part);
}

describe('a model from a hub', () => {
  it('is looked up, fetched in parts, listed, and run from the storage without another request', async () => {
    const context = await browserContext();
    const page = await visit(context);
    await look(page, REPO);
    const plan = await card(page).getByTestId('plan').textContent();
    expect(plan).toMatch(/3 files, 2\.\d MB\. Licence: not stated/);
    expect(await hub.weights()).toEqual([]);
    await hub.faults({ rate: 100_000 });
    const telling = [/\d\.\d MB of 2\.\d MB/, /\d MB\/s/, /\d s so far/, /\d s left/].map((text) =>
      card(page).getByTestId('download').getByText(text).waitFor(),
    );
    await Promise.all([
      card(page)
        .getByRole('button', { name: /^Download 2\.\d MB/ })
        .click(),
      ...telling,
    ]);
    await stored(page);
    const ranges = (await hub.weights()).map((e) => e.range);
    expect(ranges.length).toBe(Math.ceil(size / PART));
    expect(await row(page, REPO).textContent()).toContain('MB');
    const want = logits(join(MODELS, 'tiny-neox'));
    expectSame(await ask(page, REPO, 'cpu'), want);
    await page.close();

    await hub.reset();
    const again = await visit(context);
    expectSame(await ask(again, REPO, 'cpu'), want);
    expectSame(await ask(again, REPO, 'gpu'), want);
    expect(await hub.log()).toEqual([]);
  });

  it('in shards, and of another revision, is run like any other', async () => {
    const page = await visit();
    await begin(page, 'test/shards');
    await stored(page, 'test/shards');
    await begin(page, `${REPO}@old`);
    await stored(page);
    expect(await row(page, `${REPO}@old`).count()).toBe(1);
    expectSame(await ask(page, 'test/shards', 'cpu'), logits(join(MODELS, 'tiny-neox')));
    expectSame(await ask(page, REPO, 'cpu'), logits(join(MODELS, 'tiny-mamba')));
  });

  it('survives three cuts', async () => {
    const page = await visit();
    await hub.faults({ cut: [{ path: WEIGHTS, after: 50_000, times: 3 }] });
    await begin(page);
    await stored(page);
    const ranges = (await hub.weights()).map((e) => e.range);
    expect(ranges.length).toBe(Math.ceil(size / PART) + 3);
    expectSame(await ask(page, REPO, 'cpu'), logits(join(MODELS, 'tiny-neox')));
  });

  it('goes on after its tab was closed', async () => {
    const context = await browserContext();
    const page = await visit(context);
    await hub.faults({ rate: 150_000 });
    await begin(page);
    await arrived(page, 0.6);
    await page.close();
    await hub.reset();

    const again = await visit(context);
    expect(await row(again, REPO).textContent()).toMatch(/\d MB of 2\.\d MB/);
    await row(again, REPO).getByRole('button', { name: 'Resume' }).click();
    await stored(again);
    const fetched = (await hub.weights()).reduce((sum, e) => sum + e.bytes, 0);
    expect(fetched).toBeGreaterThan(0);
    expect(fetched).toBeLessThan(0.75 * size);
    expectSame(await ask(again, REPO, 'cpu'), logits(join(MODELS, 'tiny-neox')));
  });

  it('is cancelled at once, and resumed', async () => {
    const page = await visit();
    await hub.faults({ rate: 100_000 });
    await begin(page);
    await arrived(page, 0.5);
    await card(page).getByRole('button', { name: 'Cancel the download' }).click();
    await card(page).getByTestId('download').waitFor({ state: 'detached', timeout: 2_000 });
    expect(await card(page).getByRole('alert').count()).toBe(0);
    await hub.reset();
    await row(page, REPO).getByRole('button', { name: 'Resume' }).click();
    await stored(page);
  });

  it('is mended where a part arrived wrong', async () => {
    const page = await visit();
    await hub.faults({ corrupt: [{ path: WEIGHTS, offset: 5 * PART + 1, times: 1 }] });
    await begin(page);
    await stored(page);
    expectSame(await ask(page, REPO, 'cpu'), logits(join(MODELS, 'tiny-neox')));
  });

  it('that is wrong every time fails clearly, and nothing is left', async () => {
    const page = await visit();
    await hub.faults({ corrupt: [{ path: WEIGHTS, offset: 5 * PART + 1 }] });
    await begin(page);
    expect(await failure(page, 'hash')).toContain(`${WEIGHTS} of ${REPO} does not have the hash the hub states`);
    expect(await files(page)).toEqual({});
    await card(page).getByText('No model yet.').waitFor();
  });

  it('that does not fit is refused with what is missing, and nothing is left', async () => {
    const page = await visit();
    const session = await page.context().newCDPSession(page);
    const { origin } = new URL(url);
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1_500_000 });
    await begin(page);
    // Chromium's estimate says nothing of it; the files take their room before anything is fetched.
    expect(await failure(page, 'quota')).toMatch(/needs 2\.\d MB, but this page finds no room for it; delete a stored/);
    expect(await hub.weights()).toEqual([]);
    expect(await files(page)).toEqual({});
    await session.send('Storage.overrideQuotaForOrigin', { origin });
    await begin(page);
    await stored(page);
  });

  it('is deleted when asked twice', async () => {
    const page = await visit();
    await begin(page);
    await stored(page);
    expect(Object.keys(await files(page)).length).toBe(4);
    await row(page, REPO).getByRole('button', { name: 'Delete' }).click();
    await row(page, REPO).getByRole('button', { name: 'Keep it' }).click();
    await row(page, REPO).getByRole('button', { name: 'Delete' }).click();
    await row(page, REPO).getByRole('button', { name: 'Delete it' }).click();
    await card(page).getByText('No model yet.').waitFor();
    expect(await files(page)).toEqual({});
  });

  it('of a folder of this computer is added and run without any request', async () => {
    const page = await visit();
    await card(page).locator('summary').click();
    await card(page)
      .getByLabel(/A folder/)
      .setInputFiles(join(MODELS, 'tiny-mamba'));
    await card(page)
      .getByRole('button', { name: /^Add 2\.\d MB/ })
      .click();
    await stored(page, 'local/tiny-mamba');
    expect(await row(page, 'local/tiny-mamba').textContent()).toContain('of this computer');
    expectSame(await ask(page, 'local/tiny-mamba', 'cpu'), logits(join(MODELS, 'tiny-mamba')));
    expect(await hub.log()).toEqual([]);
  });

  it('as a pickle is refused with the way to convert it', async () => {
    const page = await visit();
    await look(page, 'test/pickle');
    const said = await failure(page, 'pickle');
    // The same way as the command line's.
    const { stderr } = spawnSync(
      process.env.MPPC as string,
      ['run', 'test/pickle', '--text', 'x', '--hook', '*', '--save', 'x'],
      {
        encoding: 'utf8',
        env: { ...process.env, HF_ENDPOINT: hub.url, HF_HOME: hub.root },
      },
    );
    const [command] = /python -c "[^`]+"/.exec(stderr) ?? [`no command in: ${stderr}`];
    expect(said).toContain(command);
    expect(await hub.weights()).toEqual([]);
  });

  it('that is unknown, ill named or beyond the network is refused in one line', async () => {
    const page = await visit();
    await look(page, 'test/nothing');
    expect(await failure(page, 'missing')).toContain('shows no test/nothing');
    await look(page, 'nothing');
    expect(await failure(page, 'address')).toContain('owner/name@revision');
    await page.context().setOffline(true);
    await look(page, REPO);
    await card(page).getByRole('alert').filter({ hasText: 'cannot be reached' }).waitFor();
    expect(await failure(page, 'network')).toContain('run without it');
  });

  it('that another tab has stored, or deleted, is seen on return', async () => {
    const context = await browserContext();
    const [one, two] = [await visit(context), await visit(context)];
    const comesBack = (page: Page) => page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await begin(one);
    await stored(one);
    expect(await row(two, REPO).count()).toBe(0);
    await comesBack(two);
    await row(two, REPO).waitFor();
    await row(two, REPO).getByRole('button', { name: 'Delete' }).click();
    await row(two, REPO).getByRole('button', { name: 'Delete it' }).click();
    await card(two).getByText('No model yet.').waitFor();
    // Who has not looked yet is told.
    const prompt = one.getByTestId('prompt');
    const option = prompt.getByLabel('Model to ask').locator('option').filter({ hasText: REPO });
    await prompt.getByLabel('Model to ask').selectOption((await option.getAttribute('value')) ?? '');
    await prompt.getByRole('button', { name: 'Predict' }).click();
    await prompt.getByRole('alert').waitFor();
    expect(await prompt.getByRole('alert').textContent()).toMatch(/is not stored here as a whole; download it first/);
    await comesBack(one);
    await card(one).getByText('No model yet.').waitFor();
  });

  it('whose store dies says so, and goes on with another', async () => {
    const context = await browserContext();
    // What a page hears of a Worker in which something was thrown that nobody caught.
    await context.addInitScript(() => {
      window.Worker = class extends Worker {
        constructor(...how: ConstructorParameters<typeof Worker>) {
          super(...how);
          window.addEventListener('die', () =>
            this.dispatchEvent(new ErrorEvent('error', { message: 'killed by the test' })),
          );
        }
      };
    });
    const page = await visit(context);
    await hub.faults({ rate: 150_000 });
    await begin(page);
    await arrived(page, 0.3);
    await page.evaluate(() => window.dispatchEvent(new Event('die')));
    expect(await failure(page, 'crash')).toMatch(/the store stopped: .*killed by the test; try again/);
    await hub.reset();
    await row(page, REPO).getByRole('button', { name: 'Resume' }).click();
    await stored(page);
  });

  it('is not fetched by two tabs at once', async () => {
    const context = await browserContext();
    const [one, two] = [await visit(context), await visit(context)];
    await hub.faults({ rate: 100_000 });
    await begin(one);
    await arrived(one, 0.1);
    await begin(two);
    expect(await failure(two, 'busy')).toContain('already on its way');
  });
});

describe('a prompt', () => {
  it('on a model that comes with the page gives what the command line gives', async () => {
    const page = await visit();
    const want = logits(join(MODELS, 'tiny-mamba'));
    expectSame(await ask(page, 'tiny-mamba', 'cpu'), want);
    expectSame(await ask(page, 'tiny-mamba', 'gpu'), want);
    const answer = page.getByTestId('answer');
    expect(await answer.textContent()).toMatch(/On the GPU, [^]*WebAssembly has taken \d+(\.\d)? MB/);
  });

  it('that is too long is refused in one line', async () => {
    const page = await visit();
    const prompt = page.getByTestId('prompt');
    await prompt.getByLabel('Prompt').fill('never '.repeat(1100));
    await prompt.getByRole('button', { name: 'Predict' }).click();
    expect(await prompt.getByRole('alert').textContent()).toMatch(/give at most \d+/);
  });
});

it.each([
  ['light', 1100],
  ['dark', 360],
] as const)('all of it is accessible in %s at %i pixels', async (colorScheme, width) => {
  const context = await browserContext({ colorScheme, viewport: { width, height: 800 } });
  const page = await visit(context);
  await begin(page);
  await stored(page);
  await ask(page, REPO, 'cpu');
  await hub.faults({ rate: 50_000 });
  await begin(page, 'test/tiny-mamba');
  await arrived(page, 0.05);
  await card(page).locator('summary').click();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(wide, 'no sideways scrolling').toBeLessThanOrEqual(width);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(' ')}`)).toEqual([]);
});
