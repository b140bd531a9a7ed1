import { readFileSync } from 'node:fs';
import { defaultCircuitSettings, defaultHealthSettings, defaultPlan, defaultTrainPlan, initSync } from 'mppc';
import { beforeAll, expect, it } from 'vitest';
import { KINDS } from '../src/kinds';
import { COMPARE, HEALTH, INDUCTION, TRAIN } from '../src/offered';

beforeAll(() => {
  initSync({ module: readFileSync(new URL('../../pkg/mppc_bg.wasm', import.meta.url)) });
});

it('forms begin with what the engine does when nothing else is asked for', () => {
  const [a, b] = COMPARE.pair;
  const { corpus, controls } = defaultPlan(a, b);
  expect([corpus.tokens, corpus.seed, controls.seed]).toEqual([
    COMPARE.tokens.start,
    COMPARE.seed.start,
    COMPARE.seed.start,
  ]);
  const health = defaultHealthSettings();
  expect([health.tokens, health.seed]).toEqual([HEALTH.tokens.start, HEALTH.seed.start]);
  const circuits = defaultCircuitSettings();
  expect([circuits.prompts, circuits.seed]).toEqual([INDUCTION.prompts.start, INDUCTION.seed.start]);
  const kind = KINDS[TRAIN.kind];
  expect(defaultTrainPlan()).toMatchObject({
    hook: TRAIN.hook,
    recipes: [{ kind: kind.make(kind.start), seed: TRAIN.seed.start }],
    features: TRAIN.features.start,
    tokens: TRAIN.tokens.start,
    lr: TRAIN.rate.start,
    seed: TRAIN.seed.start,
  });
});
