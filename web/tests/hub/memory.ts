/** A store in memory that behaves as a browser's, with a quota that can be full at any write. */
import type { Folder, Store, StoredFile } from '../../src/hub/store';

class MemoryFile implements StoredFile {
  content = new Uint8Array(0);
  open = false;

  constructor(private readonly store: MemoryStore) {}

  getSize = () => this.content.length;
  truncate(bytes: number) {
    if (!this.store.charge(bytes - this.content.length)) return;
    const content = new Uint8Array(bytes);
    content.set(this.content.subarray(0, bytes));
    this.content = content;
  }
  read(into: Uint8Array, { at }: { at: number }) {
    const bytes = this.content.subarray(at, at + into.length);
    into.set(bytes);
    return bytes.length;
  }
  write(bytes: Uint8Array, { at }: { at: number }) {
    // A handle may take less than it is given.
    const some = bytes.subarray(0, 1 << 20);
    if (at + some.length > this.content.length) this.truncate(at + some.length);
    if (at + some.length > this.content.length) return 2 ** 32 - 8;
    this.content.set(some, at);
    return some.length;
  }
  flush() {
    this.store.flushes++;
  }
  close() {
    this.open = false;
  }
}

export class MemoryStore implements Store {
  readonly content = new Map<string, Map<string, MemoryFile>>();
  readonly #locks = new Set<string>();
  used = 0;
  /** Each may take seconds on a real disk. */
  flushes = 0;
  /** Whether it is silent when it is full, as Chromium's private windows are. */
  silent = false;

  /** `says` is what the estimate gives as quota, when it does not tell the truth. */
  constructor(
    public quota = 1e9,
    public says?: number,
  ) {}

  charge(bytes: number): boolean {
    if (this.used + bytes > this.quota) {
      if (this.silent) return false;
      throw new DOMException('full', 'QuotaExceededError');
    }
    this.used += bytes;
    return true;
  }

  file(folder: string, name: string): Uint8Array | undefined {
    return this.content.get(folder)?.get(name)?.content;
  }

  folders = async () => [...this.content.keys()].sort();
  room = async () => ({ used: this.used, quota: this.says ?? this.quota });
  look = async (name: string) => {
    const files = this.content.get(name);
    return files && this.#folder(files);
  };

  async alone<T>(name: string, use: (folder: Folder) => Promise<T>) {
    if (this.#locks.has(name)) return undefined;
    this.#locks.add(name);
    try {
      const files = this.content.get(name) ?? new Map<string, MemoryFile>();
      this.content.set(name, files);
      return { value: await use(this.#folder(files)) };
    } finally {
      this.#locks.delete(name);
    }
  }

  async remove(name: string) {
    for (const file of this.content.get(name)?.values() ?? []) {
      if (file.open) throw new DOMException('in use', 'NoModificationAllowedError');
      this.used -= file.content.length;
    }
    this.content.delete(name);
  }

  #folder(files: Map<string, MemoryFile>): Folder {
    return {
      names: async () => [...files.keys()],
      text: async (name) => {
        const file = files.get(name);
        return file && new TextDecoder().decode(file.content);
      },
      open: async (name) => {
        const file = files.get(name) ?? new MemoryFile(this);
        if (file.open) throw new DOMException('in use', 'NoModificationAllowedError');
        file.open = true;
        files.set(name, file);
        return file;
      },
      remove: async (name) => {
        if (files.get(name)?.open) throw new DOMException('in use', 'NoModificationAllowedError');
        this.used -= files.get(name)?.content.length ?? 0;
        files.delete(name);
      },
    };
  }
}
