import type { Direction, Feature, Report, Subject, Summary } from 'mppc';

const BINS = 50;
const bump = (mean: number, width: number, count: number): number[] => {
  const weights = Array.from({ length: BINS }, (_, i) =>
    Math.exp(-(((i + 0.5) / BINS - mean) ** 2) / (2 * width ** 2)),
  );
  const total = weights.reduce((sum, w) => sum + w, 0);
  return weights.map((w) => Math.round((w / total) * count));
};
const summary = (mean: number, width: number, count: number): Summary => {
  const histogram = bump(mean, width, count);
  const above = histogram.slice(BINS / 2).reduce((sum, n) => sum + n, 0);
  return { count, mean, median: mean + 0.01, above_half: above / count, histogram };
};
const direction = (rows: number, columns: number): Direction => ({
  all: summary(0.55, 0.2, 5000),
  filtered: summary(0.68, 0.15, 4000),
  neurons: summary(0.35, 0.12, 2000),
  null: summary(0.06, 0.03, 4000),
  layer_mean: Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => 0.7 - 0.45 * Math.abs((i + 0.5) / rows - (j + 0.5) / columns)),
  ),
  best_layer: Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => 100 + 10 * i + j)),
  above: { count: 4000, thresholds: [0.5], shares: [0.8] },
  depth: { spearman: 0.62, distance: 0.2, distance_by_chance: 0.33 },
});
const subject = (name: string, architecture: string, layers: number): Subject => ({
  name,
  architecture,
  layers,
  d_model: 128,
  saes: Array.from({ length: layers }, (_, l) => ({
    hook: `blocks.${l}.hook_resid_post`,
    layer: l,
    features: 1024,
    l0: 16 + l,
    dead: 3 * l,
    kept: 900 - l,
  })),
});
const feature = (layer: number, index: number): Feature => ({
  layer,
  index,
  density: 0.0123,
  top: [
    { before: 'in the spring of the year ', token: ' 1847', after: ', when the river rose', activation: 7.5 },
    { before: 'She was born in ', token: ' 1912', after: ' near the harbour of\n', activation: 7.1 },
    { before: 'as the letter of March ', token: ' 1863', after: ' says: "come at once"', activation: 6.4 },
  ],
});

/** A report with invented figures, for tests of what the page shows. */
export const fixture: Report = {
  version: '0.0.0',
  engine: 'cpu',
  adapter: 'invented figures',
  plan: {
    a: { model: 'tiny-neox' },
    b: { model: 'tiny-mamba' },
    corpus: { source: 'builtin', seed: 2, tokens: 20000, context: 256, batch: 8, bos: 'drop' },
    filter: { min: 0.0001, max: 0.5 },
    controls: {
      seed: 2,
      neuron_tokens: 20000,
      shuffled: 1,
      shifted: 0,
      draws: 0,
      rotated: false,
      random: false,
      subsets: false,
      likeness_tokens: 0,
      matching: false,
      complexity: false,
    },
  },
  tokens: 20000,
  neuron_tokens: 20000,
  a: subject('tiny-neox', 'gpt_neox', 4),
  b: subject('tiny-mamba', 'mamba', 6),
  a_to_b: direction(4, 6),
  b_to_a: direction(6, 4),
  pairs: Array.from({ length: 20 }, (_, i) => ({
    a: feature(i % 4, 100 + i),
    b: feature(i % 6, 200 + i),
    mppc: 0.99 - 0.01 * i,
  })),
  timings: [
    { stage: 'activations', seconds: 12.5 },
    { stage: 'MPPC', seconds: 8.25 },
  ],
};
