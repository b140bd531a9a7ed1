/** The models' part of the page, as a test uses it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';

export const PROMPT = 'In the beginning there was a';

export const card = (page: Page) => page.getByTestId('models');

export async function look(page: Page, name: string): Promise<void> {
  await card(page).getByLabel('Model', { exact: true }).fill(name);
  await card(page).getByRole('button', { name: 'Look it up' }).click();
}

export async function begin(page: Page, name: string): Promise<void> {
  await look(page, name);
  await card(page)
    .getByRole('button', { name: /^(Download \d|Resume the download)/ })
    .click();
}

/** Waits until a model is stored; a failure that the page shows ends the wait, and says what it was. */
export async function stored(page: Page, repo: string, timeout?: number): Promise<void> {
  const said = card(page).getByText(`${repo} is stored`);
  const failed = card(page).getByRole('alert');
  await said.or(failed).first().waitFor({ timeout });
  if (await failed.count()) throw new Error(`${repo}: ${await failed.first().textContent()}`);
}

export interface Next {
  id: number;
  logit: number;
}

export async function ask(
  page: Page,
  model: string | RegExp,
  engine: 'cpu' | 'gpu',
  timeout?: number,
): Promise<Next[]> {
  const prompt = page.getByTestId('prompt');
  const choice = prompt.getByLabel('Model to ask');
  const option = choice.locator('option').filter({ hasText: model });
  await choice.selectOption((await option.getAttribute('value')) ?? '');
  await prompt.getByLabel('Where to compute').selectOption(engine);
  await prompt.getByLabel('Prompt').fill(PROMPT);
  await prompt.getByRole('button', { name: 'Predict what comes next' }).click();
  await prompt.getByTestId('answer').waitFor({ timeout });
  return prompt
    .locator('tr[data-id]')
    .evaluateAll((rows) =>
      rows.map((r) => ({ id: Number((r as HTMLElement).dataset.id), logit: Number((r as HTMLElement).dataset.logit) })),
    );
}

/** The command line's logits after the prompt, of the entries of the model's tokenizer; the other rows are padding. */
export function logits(model: string): Float32Array {
  const mppc = process.env.MPPC;
  if (!mppc) throw new Error('set MPPC to the command line mppc; `cargo xtask test` does');
  const folder = mkdtempSync(join(tmpdir(), 'mppc-'));
  try {
    const out = join(folder, 'out.safetensors');
    execFileSync(mppc, ['run', model, '--text', PROMPT, '--hook', 'logits', '--save', out, '--engine', 'cpu']);
    const file = readFileSync(out);
    const start = 8 + Number(file.readBigUInt64LE());
    const header = JSON.parse(file.toString('utf8', 8, start)) as Record<
      string,
      { shape: number[]; data_offsets: number[] }
    >;
    const { shape, data_offsets } = header.logits!;
    const rows = shape.at(-1)!;
    const end = start + data_offsets[1]!;
    const all = new Float32Array(Uint8Array.from(file.subarray(end - 4 * rows, end)).buffer);
    return all.subarray(0, entries(model));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function entries(model: string): number {
  const { model: bpe, added_tokens } = JSON.parse(readFileSync(join(model, 'tokenizer.json'), 'utf8')) as {
    model: { vocab: Record<string, number> };
    added_tokens: { id: number }[];
  };
  return 1 + Math.max(...Object.values(bpe.vocab), ...added_tokens.map(({ id }) => id));
}

/** The same tokens, likeliest first, with the same logits. Two tokens closer than that may change places. */
export function expectSame(got: Next[], want: Float32Array, tolerance = 1e-3): void {
  expect(got.length).toBe(10);
  const order = [...want].sort((a, b) => b - a);
  for (const [place, { id, logit }] of got.entries()) {
    expect(Math.abs(logit - want[id]!), `token ${id}: ${logit} on the page, ${want[id]} there`).toBeLessThan(tolerance);
    expect(Math.abs(logit - order[place]!), `place ${place + 1}`).toBeLessThan(tolerance);
  }
}
