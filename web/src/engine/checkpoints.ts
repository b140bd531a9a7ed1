/**
 * Where a training leaves what it needs to go on. Two files take turns, and a third says in one byte which of them is
 * whole: that byte is written after everything else, so a tab may close at any moment. A new training leaves an
 * older one's checkpoint alone until its own first one is whole.
 */
import type { Keeper } from 'mppc';
import { HubError } from '../failure';
import { sleep } from '../hub/fetch';
import { directory, orNothing } from '../hub/opfs';
import { writeAll } from '../hub/store';

const FOLDER = 'training';
const SLOTS = ['a', 'b'] as const;

/** Who has this lock, over all tabs, has the checkpoints. */
export const TRAINING = 'training';

/** Seconds between two checkpoints. */
const EVERY = 5;
/** A tab that only looks is done by then, and one that was closed has let go (milliseconds). */
const PATIENCE = 2_000;
const PAUSE = 100;

type Handle = FileSystemSyncAccessHandle;

export class Checkpoints implements Keeper {
  readonly every = EVERY;
  #slot: 0 | 1 = 0;
  #end = 0;

  private constructor(
    private readonly slots: readonly [Handle, Handle],
    private readonly which: Handle,
  ) {}

  /** Whether anything was ever trained here: who only looks leaves no files behind. */
  static async begun(): Promise<boolean> {
    return !!(await orNothing((await directory()).getDirectoryHandle(FOLDER)));
  }

  /** Uses them while no other tab can. */
  static async alone<T>(use: (checkpoints: Checkpoints) => Promise<T>): Promise<T> {
    const root = await directory();
    const busy = new HubError('busy', 'another tab is training', 'wait until it is done, or close that tab');
    let had = false;
    const work = async () => {
      had = true;
      const checkpoints = await Checkpoints.#open(await root.getDirectoryHandle(FOLDER, { create: true }), busy);
      try {
        return await use(checkpoints);
      } finally {
        checkpoints.#close();
      }
    };
    const signal = AbortSignal.timeout(PATIENCE);
    return navigator.locks.request(TRAINING, { signal }, work).catch((error: unknown) => {
      throw !had && signal.aborted ? busy : error;
    });
  }

  static async #open(folder: FileSystemDirectoryHandle, busy: HubError): Promise<Checkpoints> {
    const opened: Handle[] = [];
    for (const start = performance.now(); ;) {
      try {
        for (const name of [...SLOTS, 'current']) {
          opened.push(await (await folder.getFileHandle(name, { create: true })).createSyncAccessHandle());
        }
        const [a, b, which] = opened as [Handle, Handle, Handle];
        return new Checkpoints([a, b], which);
      } catch (error) {
        opened.splice(0).forEach((file) => file.close());
        if (!(error instanceof DOMException && error.name === 'NoModificationAllowedError')) throw error;
        // A tab that was closed lets go of its files a moment after its lock.
        if (performance.now() - start > PATIENCE) throw busy;
        await sleep(PAUSE);
      }
    }
  }

  /** The last checkpoint that was committed. */
  last(): Handle | undefined {
    const byte = new Uint8Array(1);
    if (this.which.read(byte, { at: 0 }) !== 1) return undefined;
    return this.slots[SLOTS.findIndex((name) => name.charCodeAt(0) === byte[0])];
  }

  begin(): void {
    this.#slot = this.last() === this.slots[0] ? 1 : 0;
    this.slots[this.#slot]!.truncate(0);
    this.#end = 0;
  }

  write(bytes: Uint8Array): void {
    writeAll(this.slots[this.#slot]!, bytes, this.#end);
    this.#end += bytes.length;
  }

  commit(): void {
    this.slots[this.#slot]!.flush();
    writeAll(this.which, new Uint8Array([SLOTS[this.#slot]!.charCodeAt(0)]), 0);
    this.which.flush();
  }

  /** Forgets the run. */
  clear(): void {
    this.which.truncate(0);
    this.which.flush();
    this.slots.forEach((slot) => slot.truncate(0));
  }

  #close(): void {
    [...this.slots, this.which].forEach((file) => file.close());
  }
}
