/**
 * What the forms begin with, and what they accept. They are there before the engine is, so its defaults stand here once
 * more, and `tests/offered.test.ts` holds them to it.
 */

/** The numbers that a field takes. */
export interface Range {
  /** 0 if nothing else is said. */
  min?: number;
  max?: number;
  /** What values are apart: 1, if nothing else is said. */
  step?: number | 'any';
}

/** A field and its first value. */
export interface Offer extends Range {
  start: number;
}

export const ANY: Range = { step: 'any' };

/** Seeds have 32 bits. */
const seed = (start: number): Offer => ({ start, max: 2 ** 32 - 1 });

export const COMPARE = {
  pair: ['tiny-neox', 'tiny-mamba'],
  tokens: { start: 20_000, min: 500, max: 1_000_000 },
  seed: seed(2),
} satisfies Record<string, Offer | [string, string]>;

export const HEALTH = {
  tokens: { start: 10_000, min: 1, max: 10_000_000 },
  seed: seed(2),
} satisfies Record<string, Offer>;

export const INDUCTION = {
  prompts: { start: 32, min: 2, max: 4_096 },
  seed: seed(1),
} satisfies Record<string, Offer>;

export const TRAIN = {
  hook: 'blocks.1.hook_resid_post',
  kind: 'topk' as const,
  features: { start: 1024, min: 1, max: 262_144 },
  tokens: { start: 200_000, min: 1024 },
  rate: { start: 0.001, ...ANY },
  seed: seed(1),
} satisfies Record<string, Offer | string>;
