/** The browser's file system in memory, as far as SAEs need it, with a quota. */

const missing = () => new DOMException('missing', 'NotFoundError');

class FileHandle {
  readonly kind = 'file';
  content = new Uint8Array(0);
  constructor(private readonly disk: Disk) {}

  getFile = async () => new Blob([this.content]);
  async createWritable() {
    let next = new Uint8Array(0);
    return {
      write: async (bytes: Uint8Array) => {
        this.disk.written++;
        if (this.disk.written > this.disk.writes) throw new DOMException('full', 'QuotaExceededError');
        next = new Uint8Array(bytes);
      },
      close: async () => void (this.content = next),
      abort: async () => undefined,
    };
  }
}

class DirectoryHandle {
  readonly kind = 'directory';
  readonly #entries = new Map<string, FileHandle | DirectoryHandle>();
  constructor(private readonly disk: Disk) {}

  async getDirectoryHandle(name: string, { create = false } = {}) {
    return this.#get(name, create && (() => new DirectoryHandle(this.disk))) as DirectoryHandle;
  }
  async getFileHandle(name: string, { create = false } = {}) {
    return this.#get(name, create && (() => new FileHandle(this.disk))) as FileHandle;
  }
  async removeEntry(name: string) {
    if (!this.#entries.delete(name)) throw missing();
  }
  async *entries() {
    yield* [...this.#entries];
  }

  #get(name: string, make: false | (() => FileHandle | DirectoryHandle)) {
    const found = this.#entries.get(name) ?? (make && make());
    if (!found) throw missing();
    this.#entries.set(name, found);
    return found;
  }
}

export class Disk {
  /** Files that can still be written, and those that were. */
  writes = Infinity;
  written = 0;
  readonly root = new DirectoryHandle(this);
  /** What stands in for `navigator`. */
  readonly navigator = { storage: { getDirectory: async () => this.root } };

  /** Lets so many more files be written. */
  allow(writes: number): void {
    [this.writes, this.written] = [writes, 0];
  }
}
