/** One comparison of two models, as the page asks for it and shows it. */
import type { Report } from 'mppc';
import type { Engine, Watcher } from './engine/client.svelte';
import type { Ask } from './engine/messages';

export interface Run {
  report: Report;
  /** Why this engine ran. */
  why: string | undefined;
}

/** Compares on a file's text, or on the built-in one. */
export async function run(engine: Engine, ask: Ask, file: File | undefined, watcher: Watcher): Promise<Run> {
  let why: string | undefined;
  const opened: Watcher['opened'] = (it) => {
    why = it.why;
    watcher.opened(it);
  };
  const text = file && { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) };
  return { report: await engine.run({ ...ask, file: text }, { ...watcher, opened }), why };
}
