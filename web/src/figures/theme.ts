/** The page's colours as values, for figures that mix them. */
export interface Theme {
  paper: string;
  ink: string;
  accent: string;
}

export function theme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  return { paper: colour('--low'), ink: colour('--ink'), accent: colour('--high') };
}

/** Calls back when the system turns light or dark; returns how to stop. */
export function onThemeChange(changed: () => void): () => void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', changed);
  return () => dark.removeEventListener('change', changed);
}
