/** One piece of the engine's work as a card shows it: how far it is, and how it ended. */
import type { CurvePoint, Failure, Opened, Progress } from 'mppc';
import { engine, type Action, type AnswerOf, type AskOf } from './engine/client.svelte';
import { asFailure } from './failure';
import type { StoredModel } from './hub/stored';
import { Pace } from './pace';

/** What every card is given. */
export interface CardProps {
  /** Models that come with the page. */
  builtin: string[];
  /** Models of the browser's storage. */
  stored: StoredModel[];
}

export class Work<A extends Action = Action> {
  running = $state(false);
  loading = $state.raw<{ done: number; total: number }>();
  opened = $state.raw<Opened>();
  progress = $state.raw<Progress>();
  /** Of a training's curves, so far. */
  points = $state.raw<CurvePoint[]>([]);
  /** Seconds left in this stage. */
  left = $state<number>();
  /** What came out of the last one that came to its end. */
  value = $state.raw<AnswerOf<A>>();
  failure = $state.raw<Failure>();
  /** How the last one ended, where it did not fail. */
  ended = $state<'done' | 'cancelled'>();

  /** `keeps`: the last result stays until there is another. */
  constructor(
    private readonly action: A,
    private readonly keeps = false,
  ) {}

  /** Whether the engine is at work, on this or on something else. */
  get busy(): boolean {
    return engine.busy;
  }

  /** Starts it and waits for its end; what there was before is gone. One that was cancelled has no failure. */
  async run(ask: AskOf<A>): Promise<void> {
    [this.loading, this.opened, this.progress, this.left, this.points] = [
      undefined,
      undefined,
      undefined,
      undefined,
      [],
    ];
    [this.failure, this.ended, this.running] = [undefined, undefined, true];
    if (!this.keeps) this.value = undefined;
    const pace = new Pace();
    try {
      this.value = await engine.do(this.action, ask, {
        loading: (done, total) => (this.loading = { done, total }),
        opened: (it) => (this.opened = it),
        progress: (it) => {
          this.progress = it;
          this.left = pace.left(it, performance.now() / 1000);
        },
        point: (it) => (this.points = [...this.points, it]),
      });
      this.ended = 'done';
    } catch (error) {
      const failure = asFailure(error);
      if (failure.code === 'cancelled') this.ended = 'cancelled';
      else this.failure = failure;
    } finally {
      this.running = false;
    }
  }

  cancel(): void {
    engine.cancel();
  }
}
