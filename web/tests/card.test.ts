/**
 * What a card needs: fields and a result in a `Card`, and a line of the table of actions. A stand-in of either goes
 * through all that can happen. There is no browser: the card is written out as a server would, and the engine's Worker
 * is in this thread.
 */
import { render } from 'svelte/server';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Action, AskOf } from '../src/engine/client.svelte';
import type { Reply, Request } from '../src/engine/messages';
import { goOn, progress, serve } from '../src/engine/serve';
import { HubError } from '../src/failure';
import { Work } from '../src/work.svelte';
import StandIn from './StandIn.svelte';

const NAME = 'standIn' as Action;
/** Longer than is usual. */
const PATIENCE = 2_000;

/** Where the stand-in action waits. */
let gate: () => void;
/** The workers that were started, and those that were ended. */
let started = 0;
let ended = 0;
let worker: InThread | undefined;

class InThread {
  onmessage: ((event: { data: Reply }) => void) | undefined;
  onerror: unknown;

  constructor() {
    started++;
    worker = this;
  }
  postMessage(data: Request): void {
    (globalThis.onmessage as unknown as (event: { data: Request }) => void)({ data });
  }
  terminate(): void {
    ended++;
    worker = undefined;
  }
}

async function standIn(_: unknown, { count, deaf }: { count: number; deaf?: boolean }) {
  progress({ stage: 'counting', stage_index: 1, stages: 2, done: 3, total: count, unit: 'sheep', warnings: [] });
  await new Promise<void>((go) => (gate = go));
  if (!deaf) goOn();
  if (count > 100) throw new HubError('run', `${count} is too many`, 'give at most 100');
  return { counted: count };
}

vi.stubGlobal('Worker', InThread);
vi.stubGlobal('document', { baseURI: 'http://page.example/' });
vi.stubGlobal('onmessage', undefined);
vi.stubGlobal('postMessage', (data: Reply) => worker?.onmessage?.({ data }));
serve({ [NAME]: { does: standIn, patience: PATIENCE } });
afterAll(() => void vi.unstubAllGlobals());

/** The card, without tags that say nothing. */
const shown = (work: Work) => render(StandIn, { props: { work, count: 7 } }).body.replace(/<!--.*?-->/g, '');
const ask = (of: object) => of as unknown as AskOf<Action>;

describe('a card', () => {
  let work: Work;
  beforeEach(() => {
    work = new Work(NAME);
  });

  it('waits for its start', () => {
    const card = shown(work);
    expect(card).toContain('<h2 id="stand-in-title">A stand-in</h2>');
    expect(card).toMatch(/<button class="primary[^"]*"[^>]*>Count<\/button>/);
    expect(card).not.toMatch(/<button[^>]* disabled/);
    expect(card).not.toContain('Stop counting');
    expect(card).not.toContain('alert');
  });

  it('tells how far it is, and shows what comes out', async () => {
    const run = work.run(ask({ count: 7 }));
    expect(work.busy).toBe(true);
    const card = shown(work);
    expect(card).toContain('Step 1 of 2: counting');
    expect(card).toContain('3 of 7 sheep');
    expect(card).toContain('Stop counting');
    expect(card).toMatch(/<fieldset[^>]* disabled/);
    gate();
    await run;
    expect(work.busy).toBe(false);
    expect(shown(work)).toContain('Done.');
    expect(shown(work)).toContain('{"counted":7}');
  });

  it('can be cancelled, and started again', async () => {
    const run = work.run(ask({ count: 7 }));
    work.cancel();
    gate();
    await run;
    expect(shown(work)).toContain('Cancelled.');
    expect(shown(work)).not.toContain('alert');
    const again = work.run(ask({ count: 8 }));
    gate();
    await again;
    expect(shown(work)).toContain('{"counted":8}');
  });

  it('does not wait longer than the table says for work that does not stop', async () => {
    vi.useFakeTimers();
    const before = [started, ended];
    const run = work.run(ask({ count: 7, deaf: true }));
    work.cancel();
    await vi.advanceTimersByTimeAsync(PATIENCE - 1);
    expect(work.running).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await run;
    vi.useRealTimers();
    expect(shown(work)).toContain('Cancelled.');
    expect([started, ended]).toEqual([before[0], before[1]! + 1]);
  });

  it('says what is wrong and what to do', async () => {
    const run = work.run(ask({ count: 101 }));
    gate();
    await run;
    const card = shown(work);
    expect(card).toContain('data-code="run"');
    expect(card.replace(/<[^>]*>/g, '')).toContain('101 is too many; give at most 100');
    expect(card).not.toContain('counted');
    expect(card).toMatch(/<button class="primary[^"]*"[^>]*>Count<\/button>/);
  });
});
