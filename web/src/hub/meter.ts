import type { Progress } from './download';

/** Only this much of the past says how fast it is now (seconds). */
const WINDOW = 6;
/** Before this much has been seen, a guess would be noise (seconds). */
const SEEN = 0.8;

/** How fast a download is now, and how long it still takes. */
export class Meter {
  #phase = '';
  #seen: { now: number; done: number }[] = [];

  /** Bytes a second, and seconds left in this phase; nothing yet at its start. `now` is in seconds. */
  at({ phase, done, total }: Progress, now: number): { rate: number; left: number } | undefined {
    // A phase that begins anew, or that lost something, is measured anew.
    if (phase !== this.#phase || done < (this.#seen.at(-1)?.done ?? 0)) this.#seen = [];
    this.#phase = phase;
    this.#seen.push({ now, done });
    while (this.#seen.length > 2 && this.#seen[1]!.now < now - WINDOW) this.#seen.shift();
    const [first] = this.#seen;
    const seconds = now - first!.now;
    if (seconds < SEEN) return undefined;
    const rate = (done - first!.done) / seconds;
    return { rate, left: rate > 0 ? (total - done) / rate : Infinity };
  }
}
