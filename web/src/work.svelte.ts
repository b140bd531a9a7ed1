/** One piece of the engine's work as a card shows it: how far it is, and how it ended. */
import type { Failure, Opened, Progress } from 'mppc';
import type { Watcher } from './engine/client';
import { isFailure } from './engine/messages';
import { Pace } from './pace';

export class Work<T> {
  loading = $state.raw<{ done: number; total: number }>();
  opened = $state.raw<Opened>();
  progress = $state.raw<Progress>();
  /** Seconds left in this stage. */
  left = $state<number>();
  /** What came out of the last one that came to its end. */
  value = $state.raw<T>();
  failure = $state.raw<Failure>();

  /** Starts it and waits for its end; what there was before is gone. One that was cancelled has no failure. */
  async run(start: (watcher: Watcher) => Promise<T>): Promise<void> {
    [this.loading, this.opened, this.progress, this.left] = [undefined, undefined, undefined, undefined];
    [this.value, this.failure] = [undefined, undefined];
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
    } catch (error) {
      const known = isFailure(error) ? error : { code: 'page', message: String(error), hint: 'reload the page' };
      if (known.code !== 'cancelled') this.failure = known;
    }
  }
}
