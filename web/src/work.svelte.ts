/** One piece of the engine's work as a card shows it: how far it is, and how it ended. */
import type { Failure, Opened, Progress } from 'mppc';
import type { Watcher } from './engine/client.svelte';
import { asFailure } from './failure';
import { Pace } from './pace';

export class Work<T> {
  running = $state(false);
  loading = $state.raw<{ done: number; total: number }>();
  opened = $state.raw<Opened>();
  progress = $state.raw<Progress>();
  /** Seconds left in this stage. */
  left = $state<number>();
  /** What came out of the last one that came to its end. */
  value = $state.raw<T>();
  failure = $state.raw<Failure>();
  /** How the last one ended, where it did not fail. */
  ended = $state<'done' | 'cancelled'>();

  /** `keeps`: the last result stays until there is another. */
  constructor(private readonly keeps = false) {}

  /** Starts it and waits for its end; what there was before is gone. One that was cancelled has no failure. */
  async run(start: (watcher: Watcher) => Promise<T>): Promise<void> {
    [this.loading, this.opened, this.progress, this.left] = [undefined, undefined, undefined, undefined];
    [this.failure, this.ended, this.running] = [undefined, undefined, true];
    if (!this.keeps) this.value = undefined;
    const pace = new Pace();
    try {
      this.value = await start({
        loading: (done, total) => (this.loading = { done, total }),
        opened: (it) => (this.opened = it),
        progress: (it) => {
          this.progress = it;
          this.left = pace.left(it, performance.now() / 1000);
        },
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
}
