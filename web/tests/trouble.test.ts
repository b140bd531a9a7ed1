/** The page in a world that is against it: other servers, no connection, devices that go, files that are no models. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { open } from './browser.mjs';
import { fixture } from './fixture';
import { ask } from './hub/page';
import { MODELS } from './hub/server';

let browser: Browser;
let url: string;
let close: () => Promise<void>;
let context: BrowserContext;
let folder: string;
const complaints: string[] = [];

beforeAll(async () => {
  ({ browser, url, close } = await open('/'));
});
afterAll(() => close());
beforeEach(async () => {
  context = await browser.newContext();
  folder = mkdtempSync(join(tmpdir(), 'page-'));
});
afterEach(async () => {
  await context.close();
  rmSync(folder, { recursive: true });
  expect(complaints.splice(0), 'errors that nobody caught').toEqual([]);
});

async function visit(query = ''): Promise<Page> {
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.route('**/example/report.json', (route) => route.fulfill({ json: fixture }));
  await page.goto(url + query);
  await page.getByTestId('result').locator('svg').first().waitFor();
  return page;
}

/** The first card, set to a quick run. */
async function quick(page: Page, tokens = 600): Promise<Locator> {
  const card = page.locator('section').filter({ has: page.getByRole('heading', { name: 'Run it here' }) });
  await card.getByLabel('Engine').selectOption('cpu');
  await card.getByRole('group', { name: 'What to run' }).getByLabel('Tokens').fill(`${tokens}`);
  return card;
}
const runs = (card: Locator) => card.getByRole('button', { name: 'Run' }).click();
const ended = (card: Locator) => card.getByText('your result').waitFor();

async function alert(card: Locator, code: string): Promise<string> {
  const said = card.getByRole('alert');
  await said.waitFor();
  expect(await said.getAttribute('data-code')).toBe(code);
  return (await said.textContent()) ?? '';
}

/** Lets something run in a Worker before its own program. */
const before = (prelude: () => void) =>
  context.route('**/worker-*.js', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `(${prelude.toString()})();\n${await response.text()}` });
  });

describe('from a disk', () => {
  it('the page says that it needs a server', async () => {
    const page = await context.newPage();
    await page.goto(pathToFileURL('dist/index.html').href);
    expect(await page.getByText('has not started').isVisible()).toBe(true);
    expect(await page.locator('body').textContent()).toContain('file://');
  });

  it('and from a server nothing of the kind', async () => {
    const page = await visit();
    expect(await page.getByText('has not started').count()).toBe(0);
  });
});

describe('a Content-Security-Policy', () => {
  const under = (policy: string) =>
    context.route('**/*', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, headers: { ...response.headers(), 'content-security-policy': policy } });
    });

  it('that allows the page itself alone is named, with what it lacks', async () => {
    await under("default-src 'self'");
    const page = await visit('?hub=https://hub.example');
    const card = await quick(page);
    await runs(card);
    expect(await alert(card, 'policy')).toMatch(/WebAssembly.*'wasm-unsafe-eval'/);
    const models = page.getByTestId('models');
    await models.getByLabel('Model', { exact: true }).fill('some/model');
    await models.getByRole('button', { name: 'Look it up' }).click();
    expect(await alert(models, 'policy')).toMatch(/https:\/\/hub\.example.*connect-src 'self' https:\/\/hub\.example/);
  });

  it('with what was named lets it run', async () => {
    await under("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'");
    const card = await quick(await visit());
    await runs(card);
    await ended(card);
  });

  it('without Workers is named', async () => {
    await under("worker-src 'none'");
    const card = await quick(await visit());
    await runs(card);
    expect(await alert(card, 'policy')).toContain("worker-src 'self'");
  });
});

describe('without a connection', () => {
  it('what is loaded runs, again and again', async () => {
    const card = await quick(await visit());
    await runs(card);
    await ended(card);
    await context.setOffline(true);
    await runs(card);
    await card.getByTestId('progress').waitFor();
    await ended(card);
    expect(await card.getByRole('alert').count()).toBe(0);
  });

  it('what is not loaded says so, and comes when the connection is back', async () => {
    const page = await visit();
    await context.setOffline(true);
    const card = await quick(page);
    await runs(card);
    expect(await alert(card, 'crash')).toContain('check the connection');
    await context.setOffline(false);
    await page.route('**/models/index.json', (route) => route.abort());
    await page.route('**/models/**/model.safetensors', (route) => route.abort());
    await runs(card);
    expect(await alert(card, 'network')).toContain('cannot be fetched');
    await page.unrouteAll();
    await runs(card);
    await ended(card);
  });
});

describe('a GPU device that is lost', () => {
  /** A device goes when the page says so, as if its driver had failed. */
  const prelude = () => {
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...how) {
      const device = await requestDevice.apply(this, how);
      let lose: (info: object) => void = () => {};
      Object.defineProperty(device, 'lost', { value: new Promise((resolve) => (lose = resolve)) });
      new BroadcastChannel('lose').onmessage = () => {
        device.destroy();
        lose({ reason: 'unknown', message: 'taken by the test' });
      };
      return device;
    };
  };
  const lose = (page: Page) =>
    page.evaluate(async () => {
      new BroadcastChannel('lose').postMessage('now');
      await new Promise((resolve) => setTimeout(resolve, 200));
    });

  beforeEach(() => before(prelude));

  it('between two prompts is not even noticed', async () => {
    const page = await visit();
    const want = await ask(page, 'tiny-neox', 'gpu');
    await lose(page);
    expect(await ask(page, 'tiny-neox', 'gpu')).toEqual(want);
  });

  it('in the middle ends the work, and the next one has another', async () => {
    const page = await visit();
    const card = await quick(page, 2000);
    await card.getByLabel('Engine').selectOption('gpu');
    await runs(card);
    await card.getByText(/Step \d of \d/).waitFor();
    await lose(page);
    await card.getByRole('alert').waitFor();
    expect(await card.getByRole('alert').textContent()).toMatch(/lost|refused/);
    // Long enough to make all pipelines once more, on a busy machine.
    await ask(page, 'tiny-neox', 'gpu', 90_000);
  });
});

it('an engine that dies says so, and another takes its place', async () => {
  await before(() => {
    new BroadcastChannel('die').onmessage = () => {
      throw new Error('killed by the test');
    };
  });
  const card = await quick(await visit(), 100_000);
  await runs(card);
  await card.getByText(/Step \d of \d/).waitFor();
  await card.page().evaluate(() => new BroadcastChannel('die').postMessage('now'));
  expect(await alert(card, 'crash')).toMatch(/the engine stopped: .*killed by the test; try again/);
  await quick(card.page());
  await runs(card);
  await ended(card);
});

describe('a text', () => {
  const words = 'The river rose in the spring of the year, and the old mill by the bridge stood in water. ';
  const give = (card: Locator, name: string) => card.getByLabel(/\.txt, \.jsonl/).setInputFiles(join(folder, name));

  it('that ends early is said to be short', async () => {
    writeFileSync(join(folder, 'short.txt'), words.repeat(12));
    const page = await visit();
    const card = await quick(page, 2000);
    await give(card, 'short.txt');
    await runs(card);
    await ended(card);
    expect(await page.getByTestId('result').textContent()).toMatch(/ended early: it has \d+ of the 2,000 tokens/);
  });

  it('that is long enough is not', async () => {
    const page = await visit();
    const card = await quick(page, 600);
    await runs(card);
    await ended(card);
    expect(await page.getByTestId('result').textContent()).not.toContain('ended early');
  });

  it('that the engine warns of is warned of when the run is done, too', async () => {
    await before(() => {
      const post = self.postMessage.bind(self) as (message: unknown) => void;
      self.postMessage = (message: { kind?: string; progress?: object }) =>
        post(
          message.kind === 'progress'
            ? { ...message, progress: { ...message.progress, warnings: ['the mill is flooded'] } }
            : message,
        );
    });
    const card = await quick(await visit());
    await runs(card);
    await ended(card);
    expect(await card.textContent()).toContain('Warning: the mill is flooded');
  });

  it('that is gone when it is read is asked for again', async () => {
    writeFileSync(join(folder, 'gone.txt'), words);
    const card = await quick(await visit());
    await give(card, 'gone.txt');
    rmSync(join(folder, 'gone.txt'));
    await runs(card);
    expect(await alert(card, 'file')).toContain('choose it again');
  });
});

describe('models', () => {
  it.each(['nonsense', 'ftp://hub', '', 'https://me:word@hub'])(
    'of the hub “%s” are not looked for without a word',
    async (hub) => {
      const page = await visit();
      const models = page.getByTestId('models');
      const details = models.locator('details');
      await models.locator('summary').click();
      await models.getByLabel('Hub', { exact: true }).fill(hub);
      await models.locator('summary').click();
      await models.getByLabel('Model', { exact: true }).fill('some/model');
      await models.getByRole('button', { name: 'Look it up' }).click();
      expect(await alert(models, 'address')).toContain('no address of a hub');
      expect(await details.evaluate((it: HTMLDetailsElement) => it.open)).toBe(true);
      await expect
        .poll(() => models.getByLabel('Hub', { exact: true }).evaluate((it) => it === document.activeElement))
        .toBe(true);
    },
  );

  it('of a folder whose weights are random bytes are refused', async () => {
    for (const name of ['config.json', 'tokenizer.json'])
      await copyFile(join(MODELS, 'tiny-neox', name), join(folder, name));
    writeFileSync(
      join(folder, 'model.safetensors'),
      Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) & 255)),
    );
    const page = await visit();
    const models = page.getByTestId('models');
    await models.locator('summary').click();
    await models.getByLabel(/A folder/).setInputFiles(folder);
    expect(await alert(models, 'model')).toContain('no whole safetensors file');
    expect(await models.getByTestId('plan').count()).toBe(0);
  });
});
