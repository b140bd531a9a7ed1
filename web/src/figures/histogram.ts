import * as Plot from '@observablehq/plot';
import type { Direction, Summary } from 'mppc';

/** A range of MPPC and the share of a distribution's values in it. */
export interface Bin {
  from: number;
  to: number;
  share: number;
}

export const SERIES = [
  ['null', 'null'],
  ['neurons', 'neurons'],
  ['all', 'features, all'],
  ['filtered', 'features, filtered'],
] as const;

type Series = (typeof SERIES)[number][0];

/** A distribution as shares, so that unlike counts compare; empty when it has no values. */
export function bins({ histogram }: Summary): Bin[] {
  const total = histogram.reduce((sum, n) => sum + n, 0);
  if (total === 0) return [];
  return histogram.map((n, i) => ({ from: i / histogram.length, to: (i + 1) / histogram.length, share: n / total }));
}

export function histogram(direction: Direction, width: number) {
  /** The tops of a distribution's bars. */
  const outline = (series: Series) =>
    bins(direction[series]).flatMap(({ from, to, share }) => [
      { x: from, share },
      { x: to, share },
    ]);
  const line = (series: Series, options: Plot.LineYOptions) =>
    Plot.lineY(outline(series), { x: 'x', y: 'share', stroke: `var(--${series})`, strokeWidth: 1.75, ...options });
  return Plot.plot({
    width,
    height: Math.round(Math.min(340, Math.max(240, width * 0.6))),
    marginLeft: 48,
    style: { fontSize: '12px', background: 'transparent' },
    x: { domain: [0, 1], label: 'MPPC', labelAnchor: 'center', labelArrow: 'none', ticks: 6 },
    y: { label: 'share of values', labelArrow: 'none', grid: true, tickFormat: '.0%', ticks: 5, nice: true },
    marks: [
      Plot.areaY(outline('filtered'), { x: 'x', y1: 0, y2: 'share', fill: 'var(--filtered)', fillOpacity: 0.25 }),
      line('null', { strokeDasharray: '4 3' }),
      line('neurons', {}),
      line('all', { strokeDasharray: '1 3', strokeLinecap: 'round' }),
      line('filtered', {}),
      Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
    ],
  });
}
