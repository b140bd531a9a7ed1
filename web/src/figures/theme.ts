/** The page's colours as values, for figures that mix them. */
export interface Theme {
  paper: string;
  accent: string;
  /** Share of the way from paper to accent above which text is better read in the colour for the accent. */
  flip: number;
}

export function theme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string) => style.getPropertyValue(name).trim();
  return { paper: value('--low'), accent: value('--high'), flip: Number(value('--flip')) };
}

/** Calls back when the system turns light or dark; returns how to stop. */
export function onThemeChange(changed: () => void): () => void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', changed);
  return () => dark.removeEventListener('change', changed);
}
