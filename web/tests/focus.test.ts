/** Where the focus is while the page changes under it: on what takes a control's place, and never called away. */
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { open } from './browser.mjs';
import { fixture } from './fixture';
import { Server } from './hub/server';

let browser: Browser;
let url: string;
let close: () => Promise<void>;
let hub: Server;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  ({ browser, url, close } = await open('/'));
  hub = await Server.start();
  await hub.putModel('test/tiny-neox');
});
afterAll(async () => {
  await close();
  await hub.stop();
});
afterEach(() => context.close());

async function visit(): Promise<void> {
  context = await browser.newContext();
  page = await context.newPage();
  await page.route('**/example/report.json', (route) => route.fulfill({ json: fixture }));
  await page.goto(`${url}?hub=${hub.url}&part=${128 << 10}`);
  await page.getByTestId('room').waitFor();
  await page.getByTestId('result').locator('svg').first().waitFor();
}

const button = (within: Locator, name: string | RegExp) =>
  within.getByRole('button', { name, exact: typeof name === 'string' });
async function focused(what: Locator): Promise<void> {
  await what.waitFor();
  await expect.poll(() => what.evaluate((it) => it === document.activeElement)).toBe(true);
}
const first = () => page.locator('section').filter({ has: page.getByRole('heading', { name: 'Run it here' }) });

describe('work that is started', () => {
  /** Each card's work, made long, its button and the one that stops it. */
  const cards: [string, () => Locator, string, string, (card: Locator) => Promise<void>][] = [
    [
      'a run',
      first,
      'Run',
      'Cancel',
      (card) => card.getByRole('group', { name: 'What to run' }).getByLabel('Tokens').fill('500000'),
    ],
    [
      'a measurement',
      () => page.getByTestId('health'),
      'Measure',
      'Cancel the measurement',
      (card) => card.getByLabel('Tokens').fill('5000000'),
    ],
    [
      'a look inside',
      () => page.getByTestId('induction'),
      'Look inside',
      'Cancel the look',
      (card) => card.getByLabel('Prompts of').fill('4000'),
    ],
    [
      'a training',
      () => page.getByTestId('train'),
      'Train',
      'Cancel the training',
      (card) => card.getByLabel('Tokens').fill('5000000'),
    ],
  ];

  it.each(cards)('%s takes the focus to Cancel and back', async (_, find, start, stop, lengthen) => {
    await visit();
    const card = find();
    await lengthen(card);
    await button(card, start).focus();
    await page.keyboard.press('Enter');
    await focused(button(card, stop));
    await page.keyboard.press('Enter');
    await focused(button(card, start));
    expect(await card.getByRole('status').first().textContent()).toContain('Cancelled');
  });

  it('from a field that is then locked takes the focus to Cancel, too', async () => {
    await visit();
    const card = first();
    const tokens = card.getByRole('group', { name: 'What to run' }).getByLabel('Tokens');
    await tokens.fill('500000');
    await tokens.press('Enter');
    await focused(button(card, 'Cancel'));
  });

  it('ends on the button that starts it, and says so', async () => {
    await visit();
    const card = first();
    // What speaks must be there before it speaks.
    const status = card.getByRole('status');
    expect(await status.count()).toBe(1);
    expect(await status.textContent()).toBe('');
    await card.getByLabel('Engine').selectOption('cpu');
    await card.getByRole('group', { name: 'What to run' }).getByLabel('Tokens').fill('600');
    await button(card, 'Run').click();
    await card.getByText('your result').waitFor();
    await focused(button(card, 'Run'));
    expect(await status.textContent()).toBe('Done: your result is below.');
    await card.getByRole('link', { name: 'your result' }).click();
    await focused(page.getByRole('heading', { name: 'Your result' }));
  });

  it('calls nobody away who is elsewhere at its end', async () => {
    await visit();
    const card = first();
    await card.getByLabel('Engine').selectOption('cpu');
    await card.getByRole('group', { name: 'What to run' }).getByLabel('Tokens').fill('600');
    await button(card, 'Run').click();
    const prompt = page.getByTestId('prompt').getByLabel('Prompt', { exact: true });
    await prompt.focus();
    await card.getByText('your result').waitFor();
    await page.waitForTimeout(200);
    await focused(prompt);
    const box = await prompt.boundingBox();
    expect(box!.y, 'still in view').toBeGreaterThan(0);
    expect(box!.y).toBeLessThan(720);
  });
});

it('a model is fetched and deleted without losing the focus', async () => {
  await visit();
  const card = page.getByTestId('models');
  await hub.faults({ rate: 200_000 });
  const name = card.getByLabel('Model', { exact: true });
  await name.fill('test/tiny-neox');
  await name.press('Enter');
  await focused(name);
  await button(card, /^Download/).focus();
  await page.keyboard.press('Enter');
  await focused(button(card, 'Cancel the download'));
  await page.keyboard.press('Enter');
  await focused(button(card, 'Look it up'));
  await hub.reset();
  await button(card, /^Resume/).focus();
  await page.keyboard.press('Enter');
  await card.getByText('is stored').waitFor();
  await focused(button(card, 'Look it up'));
  await button(card, /^Delete/).focus();
  await page.keyboard.press('Enter');
  await focused(button(card, /^Keep it/));
  await page.keyboard.press('Enter');
  await focused(button(card, /^Delete/));
  await page.keyboard.press('Enter');
  await button(card, /^Delete it/).focus();
  await page.keyboard.press('Enter');
  await card.getByText('No model yet.').waitFor();
  await focused(card.getByRole('heading', { name: 'Models in this browser' }));
});
