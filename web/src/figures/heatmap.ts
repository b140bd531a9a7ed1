import * as Plot from '@observablehq/plot';
import type { Direction } from 'mppc';
import type { Theme } from './theme';

export interface Cell {
  /** Layer of the features. */
  own: number;
  /** Layer of the other model. */
  other: number;
  mean: number | null;
  /** Whether this is the own layer's most similar one. */
  best: boolean;
}

/** The cells of a direction's matrix; each row's largest mean is marked. */
export function cells(direction: Direction): Cell[] {
  return direction.layer_mean.flatMap((row, own) => {
    const known = row.filter((mean) => mean != null);
    const top = Math.max(...known);
    return row.map((mean, other) => ({ own, other, mean: mean ?? null, best: mean === top }));
  });
}

export function heatMap(direction: Direction, from: string, to: string, width: number, theme: Theme) {
  const data = cells(direction);
  const known = data.filter((cell) => cell.mean !== null);
  const largest = Math.max(0.01, ...known.map((cell) => cell.mean as number));
  const rows = direction.layer_mean.length;
  const columns = direction.layer_mean[0]?.length ?? 0;
  const place = { x: 'other', y: 'own' } as const;
  // Labels stay readable to about 34 px a cell.
  const labelled = (width - 70) / Math.max(1, columns) >= 34;
  return Plot.plot({
    width,
    height: Math.round(Math.min(380, Math.max(240, (width / Math.max(1, columns)) * rows * 0.75 + 60))),
    marginLeft: 48,
    marginBottom: 40,
    padding: 0.04,
    style: { fontSize: '12px', background: 'transparent' },
    x: { label: `layer of ${to}`, labelAnchor: 'center', labelArrow: 'none', tickSize: 0 },
    y: { label: `layer of ${from}`, labelAnchor: 'center', labelArrow: 'none', tickSize: 0 },
    color: { type: 'linear', domain: [0, largest], range: [theme.paper, theme.accent], interpolate: 'lab' },
    marks: [
      Plot.cell(data, { ...place, fill: 'mean', rx: 3 }),
      Plot.cell(
        data.filter((cell) => cell.best),
        { ...place, stroke: 'currentColor', strokeWidth: 1.5, rx: 3 },
      ),
      labelled
        ? Plot.text(known, {
            ...place,
            text: (cell: Cell) => (cell.mean as number).toFixed(2),
            fill: (cell: Cell) => ((cell.mean as number) > theme.flip * largest ? 'var(--on-high)' : 'var(--ink)'),
            fontWeight: 500,
          })
        : null,
    ],
  });
}
