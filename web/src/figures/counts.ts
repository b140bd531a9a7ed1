/** Counts in bins, as bars. */
import * as Plot from '@observablehq/plot';
import type { Histogram } from 'mppc';

export interface Axis {
  label: string;
  log?: boolean;
}

export function counts({ edges, counts }: Histogram, { label, log }: Axis, width: number) {
  const bars = counts.map((n, i) => ({ from: edges[i]!, to: edges[i + 1]!, n }));
  return Plot.plot({
    width,
    height: 200,
    marginLeft: 44,
    style: { fontSize: '11px', background: 'transparent' },
    x: {
      type: log ? 'log' : 'linear',
      domain: [edges[0]!, edges.at(-1)!],
      label,
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks: 6,
      tickFormat: log ? '~e' : '~g',
    },
    y: { label: 'features', labelArrow: 'none', grid: true, ticks: 4, nice: true },
    marks: [
      Plot.rectY(bars, { x1: 'from', x2: 'to', y: 'n', fill: 'var(--accent)', insetLeft: 0.5, insetRight: 0.5 }),
      Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
    ],
  });
}
