/** How a training went. */
import * as Plot from '@observablehq/plot';
import type { CurvePoint } from 'mppc';
import { count, percent, ratio } from '../format';

export interface Curve {
  name: string;
  of: (point: CurvePoint) => number;
  text: (value: number) => string;
}

export const CURVES: Curve[] = [
  { name: 'loss', of: ({ stats }) => stats.error + stats.penalty, text: ratio },
  { name: 'L0', of: ({ stats }) => stats.l0, text: (value) => value.toFixed(1) },
  { name: 'explained variance', of: ({ stats }) => stats.explained_variance, text: ratio },
  { name: 'dead features', of: ({ stats }) => stats.dead, text: percent },
  { name: 'tokens a second', of: (point) => point.tokens_per_second, text: count },
];

/** The axis of figures that are all 0, which has no length of its own; the figures' own axis otherwise. */
export const domainOf = (values: number[]): [number, number] | undefined =>
  values.some((value) => Number.isFinite(value) && value !== 0) ? undefined : [0, 1];

/** One small picture for each figure, side by side as far as there is room. */
export function curves(points: CurvePoint[], width: number): HTMLElement {
  const columns = Math.max(1, Math.min(3, Math.floor(width / 220)));
  const own = Math.floor((width - 12 * (columns - 1)) / columns);
  const all = document.createElement('div');
  all.style.cssText = `display: grid; grid-template-columns: repeat(${columns}, 1fr); gap: 12px`;
  for (const { name, of } of CURVES) {
    const domain = domainOf(points.map(of));
    const shown = points.filter((point) => Number.isFinite(of(point)));
    all.append(
      Plot.plot({
        width: own,
        height: 150,
        marginLeft: 48,
        style: { fontSize: '11px', background: 'transparent' },
        x: { label: 'tokens', labelArrow: 'none', ticks: 3, tickFormat: '~s' },
        y: { label: name, labelArrow: 'none', grid: true, ticks: 4, nice: true, tickFormat: '~s', zero: true, domain },
        marks: [
          Plot.lineY(shown, {
            x: ({ stats }: CurvePoint) => stats.tokens,
            y: of,
            z: (point: CurvePoint) => `${point.hook} ${point.recipe}`,
            stroke: 'var(--accent)',
            strokeWidth: 1.75,
          }),
        ],
      }),
    );
  }
  return all;
}
