/**
 * Where a training leaves what it needs to go on. Two files take turns, and a third says in one byte which of them is
 * whole: that byte is written after everything else, so a tab may close at any moment.
 */
import type { Keeper } from 'mppc';
import { HubError } from '../hub/failure';
import { writeAll } from '../hub/store';

const FOLDER = 'training';
const SLOTS = ['a', 'b'] as const;

/** Seconds between two checkpoints. */
const EVERY = 5;

export class Checkpoints implements Keeper {
  readonly every = EVERY;
  #slot: 0 | 1 = 0;
  #end = 0;

  private constructor(
    private readonly slots: readonly [FileSystemSyncAccessHandle, FileSystemSyncAccessHandle],
    private readonly which: FileSystemSyncAccessHandle,
  ) {}

  /** Whether anything was ever trained here: who only looks leaves no files behind. */
  static async begun(): Promise<boolean> {
    const root = await navigator.storage.getDirectory();
    return root.getDirectoryHandle(FOLDER).then(
      () => true,
      () => false,
    );
  }

  /** Only one tab at a time has them. */
  static async open(): Promise<Checkpoints> {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
    const opened: FileSystemSyncAccessHandle[] = [];
    try {
      for (const name of [...SLOTS, 'current']) {
        opened.push(await (await folder.getFileHandle(name, { create: true })).createSyncAccessHandle());
      }
    } catch (error) {
      opened.forEach((file) => file.close());
      if (!(error instanceof DOMException && error.name === 'NoModificationAllowedError')) throw error;
      throw new HubError('busy', 'another tab is training', 'wait until it is done, or close that tab');
    }
    const [a, b, which] = opened as [FileSystemSyncAccessHandle, FileSystemSyncAccessHandle, FileSystemSyncAccessHandle];
    return new Checkpoints([a, b], which);
  }

  /** The last checkpoint that was committed. */
  last(): FileSystemSyncAccessHandle | undefined {
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

  close(): void {
    [...this.slots, this.which].forEach((file) => file.close());
  }
}
