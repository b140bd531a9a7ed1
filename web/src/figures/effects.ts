/** What interventions change: bars from zero, with their intervals. */
import * as Plot from '@observablehq/plot';
import type { CircuitCell } from 'mppc';

export function effects(cells: CircuitCell[], chosen: number | undefined, width: number) {
  const bars = cells.map((cell, i) => ({
    name: cell.label,
    value: cell.change.logit.mean,
    low: cell.change.logit.interval?.low ?? cell.change.logit.mean,
    high: cell.change.logit.interval?.high ?? cell.change.logit.mean,
    chosen: chosen === undefined || chosen === i,
  }));
  return Plot.plot({
    width,
    height: 240,
    marginLeft: 52,
    marginBottom: 70,
    style: { fontSize: '11px', background: 'transparent' },
    x: { label: null, domain: bars.map(({ name }) => name), tickRotate: bars.length > 6 ? -60 : -30, tickSize: 0 },
    y: { label: 'change of B’s logit', labelArrow: 'none', grid: true, nice: true, ticks: 5 },
    marks: [
      Plot.barY(bars, {
        x: 'name',
        y: 'value',
        fill: 'var(--accent)',
        fillOpacity: (d: { chosen: boolean }) => (d.chosen ? 0.85 : 0.3),
      }),
      Plot.ruleX(bars, { x: 'name', y1: 'low', y2: 'high', strokeWidth: 1.5 }),
      Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.5 }),
    ],
  });
}
