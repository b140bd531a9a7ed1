/** The Induction view, in Chromium: what it shows are the numbers of the command line. */
import { execFileSync } from 'node:child_process';
import AxeBuilder from '@axe-core/playwright';
import type { CircuitReport, InductionView } from 'mppc';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { open } from './browser.mjs';

let browser: Browser;
let url: string;
let close: () => Promise<void>;
let page: Page;
const complaints: string[] = [];

beforeAll(async () => {
  ({ browser, url, close } = await open('/'));
});
afterAll(() => close());
afterEach(async () => {
  await page.context().close();
  expect(complaints.splice(0), 'errors in the console').toEqual([]);
});

async function visit(): Promise<Locator> {
  page = await (await browser.newContext()).newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  await page.goto(url);
  return page.getByTestId('induction');
}

/** The same settings as the page's on the command line. */
function commandLine<T>(args: string[]): T {
  const mppc = process.env['MPPC'];
  if (!mppc) throw new Error('MPPC names the command line');
  return JSON.parse(
    execFileSync(mppc, ['circuit', ...args, '--engine', 'cpu', '--json'], { maxBuffer: 1e9 }).toString(),
  ) as T;
}

async function look(card: Locator, prompts: number): Promise<void> {
  await card.getByLabel('Prompts of the experiments').fill(`${prompts}`);
  await card.getByRole('button', { name: 'Look inside' }).click();
  await card.getByTestId('writes').locator('svg').first().waitFor({ timeout: 400_000 });
}

/** The changes of B's logit in a figure's table, in full. */
const changes = (card: Locator, id: string): Promise<number[]> =>
  card
    .getByTestId(id)
    .locator('tr[data-value]')
    .evaluateAll((rows) => rows.map((row) => Number((row as HTMLElement).dataset['value'])));

describe('the Induction view', () => {
  // Two engines in f32, in other orders of summation, against logits of order one.
  it.each(['cpu', 'gpu'] as const)(
    'on the %s engine gives the figures of the command line to 1e-4',
    async (engine) => {
      const prompts = engine === 'cpu' ? 12 : 2;
      const card = await visit();
      await card.getByLabel('Where to look').selectOption(engine);
      await look(card, prompts);
      const asked = ['--prompts', `${prompts}`, '--tokens', '32', '--seed', '1'];
      for (const [id, name, model] of [
        ['heads', 'head-to-logit', 'tiny-neox'],
        ['states', 'state-to-logit', 'tiny-mamba'],
        ['writes', 'write-position', 'tiny-mamba'],
      ] as const) {
        const want = commandLine<CircuitReport>([name, model, ...asked]).cells.map((cell) => cell.change.logit.mean);
        const got = await changes(card, id);
        expect(got.length, id).toBe(want.length);
        got.forEach((value, i) =>
          expect(Math.abs(value - want[i]!), `${id} ${i}: ${value}, ${want[i]}`).toBeLessThan(1e-4),
        );
      }
      // The slider tells the position's row.
      const slider = card.getByLabel('Position whose write is exchanged');
      const writes = await changes(card, 'writes');
      for (const position of [2, 0]) {
        await slider.fill(`${position}`);
        expect(await card.getByTestId('write').locator('strong').textContent()).toBe(writes[position]!.toFixed(3));
      }
    },
    420_000,
  );

  it('shows who reads whom in a typed text, for any head and layer', async () => {
    const card = await visit();
    const text = 'the cat and the';
    await card.getByLabel('Prompt to look at').selectOption('typed');
    await card.getByLabel('Text with something in it twice').fill(text);
    await card.getByLabel('Where to look').selectOption('cpu');
    await look(card, 2);
    for (const model of ['tiny-neox', 'tiny-mamba']) {
      const want = commandLine<InductionView>(['look', model, '--text', text, '--tokens', '32']);
      const unit = card.getByRole('combobox', { name: `of ${model}` });
      await unit.selectOption({ index: 1 });
      const figure = card.locator('figure').filter({ hasText: `ttention of ${model}` });
      await figure.getByText('Numbers of this figure').click();
      const n = want.tokens.length;
      const last = want.attention[1]!.pattern.slice((n - 1) * n).sort((x: number, y: number) => y - x);
      const shown = await figure.locator('td').first().getAttribute('data-value');
      expect(Math.abs(Number(shown) - last[0]!), `${model}: ${shown} and ${last[0]}`).toBeLessThan(1e-5);
      await expect.poll(() => card.textContent()).toContain(`${model} expects next`);
    }
  }, 120_000);

  it('is accessible, cancelled at once, and says what is wrong', async () => {
    const card = await visit();
    await card.getByLabel('Where to look').selectOption('cpu');
    await card.getByLabel('Prompts of the experiments').fill('4000');
    await card.getByRole('button', { name: 'Look inside' }).click();
    await card.getByText(/Step \d of \d/).waitFor();
    await card.getByRole('button', { name: 'Cancel the look' }).click();
    await card.getByRole('button', { name: 'Look inside' }).waitFor({ timeout: 5_000 });
    expect(await card.getByRole('alert').count()).toBe(0);
    await card.getByLabel('Prompt to look at').selectOption('typed');
    await card.getByLabel('Text with something in it twice').fill('again and '.repeat(90));
    await card.getByRole('button', { name: 'Look inside' }).click();
    await card.getByRole('alert').waitFor();
    expect(await card.getByRole('alert').textContent()).toContain('give at most 128');
    await card.getByLabel('Text with something in it twice').fill('again and again');
    await look(card, 2);
    const found = await new AxeBuilder({ page }).include('[data-testid=induction]').analyze();
    expect(found.violations).toEqual([]);
  }, 120_000);
});
