/** Numbers as people read them. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export const count = (n: number): string => whole.format(n);

/** A figure between −1 and 1; a dash where there is none. */
export const ratio = (x: number | null | undefined): string => (x == null ? '–' : x.toFixed(3));

export function percent(x: number | null | undefined): string {
  if (x == null) return '–';
  const value = 100 * x;
  return `${value !== 0 && Math.abs(value) < 0.95 ? value.toPrecision(1) : value.toFixed(1)}%`;
}

export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

/** Bytes, in the unit that storage is sold in. */
export function megabytes(bytes: number): string {
  if (bytes >= 999.5e6) return `${(bytes / 1e9).toFixed(2)} GB`;
  return `${(bytes / 1e6).toFixed(bytes < 99.95e6 ? 1 : 0)} MB`;
}

/** A piece of text with its white space made visible. */
export const visible = (text: string): string => text.replaceAll('\n', '⏎').replaceAll('\t', '⇥');
