import type { Progress } from 'mppc';

/** Before this much of a stage has been seen, a guess would be noise. */
const SEEN = 1;

/** How long the current stage still takes, by its own pace so far. */
export class Pace {
  #stage = -1;
  #since = 0;
  #from = 0;

  /** Seconds left in this stage, or nothing yet. `now` is in seconds. */
  left(progress: Progress, now: number): number | undefined {
    if (progress.stage_index !== this.#stage) {
      this.#stage = progress.stage_index;
      this.#since = now;
      this.#from = progress.done;
    }
    const seconds = now - this.#since;
    const done = progress.done - this.#from;
    if (done <= 0 || seconds < SEEN) return undefined;
    return ((progress.total - progress.done) * seconds) / done;
  }
}
