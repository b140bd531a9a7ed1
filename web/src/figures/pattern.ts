/** Who reads whom: a square of positions, darker where more is taken. */
import * as Plot from '@observablehq/plot';
import type { PromptToken } from 'mppc';
import type { Theme } from './theme';

/** A token as a label: short, with its white space seen. */
export const label = (token: PromptToken, position: number): string =>
  `${position} ${token.text.replaceAll('\n', '↵').replaceAll(' ', '·').slice(0, 8)}`;

export function pattern(values: number[], tokens: PromptToken[], width: number, theme: Theme) {
  const n = tokens.length;
  const cells = values
    .map((value, i) => ({ to: Math.floor(i / n), from: i % n, value }))
    .filter(({ to, from }) => from <= to);
  const largest = Math.max(1e-6, ...cells.map(({ value }) => value));
  // Every token has a label while there is room for it.
  const every = Math.max(1, Math.ceil((n * 13) / Math.max(width - 80, 100)));
  const ticks = tokens.map((_, i) => i).filter((i) => i % every === 0);
  const tickFormat = (i: number) => label(tokens[i]!, i);
  return Plot.plot({
    width,
    height: width,
    marginLeft: 76,
    marginBottom: 76,
    marginTop: 8,
    style: { fontSize: '10px', background: 'transparent' },
    x: { label: null, ticks, tickFormat, tickRotate: -90, tickSize: 0, domain: tokens.map((_, i) => i) },
    y: { label: null, ticks, tickFormat, tickSize: 0, domain: tokens.map((_, i) => i) },
    color: { type: 'linear', domain: [0, largest], range: [theme.paper, theme.accent], interpolate: 'lab' },
    marks: [Plot.cell(cells, { x: 'from', y: 'to', fill: 'value' })],
  });
}
