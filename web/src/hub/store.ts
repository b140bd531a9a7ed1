/** Where models are kept: one folder a model, files that are written at any place. The browser's is `opfs.ts`. */
export interface Store {
  /** Names of the folders. */
  folders(): Promise<string[]>;
  /** Runs alone on a folder, over all tabs; nothing when somebody else does. The folder is made. */
  alone<T>(name: string, use: (folder: Folder) => Promise<T>): Promise<{ value: T } | undefined>;
  /** A folder to look at. */
  look(name: string): Promise<Folder | undefined>;
  /** Removes a folder and all that is in it. */
  remove(name: string): Promise<void>;
  /** Bytes that may still be written, as far as the store knows. */
  room(): Promise<{ used: number; quota: number }>;
}

export interface Folder {
  names(): Promise<string[]>;
  /** A file's text, or nothing where there is none. */
  text(name: string): Promise<string | undefined>;
  /** Opens a file for reading and writing; it is made where it is missing. */
  open(name: string): Promise<StoredFile>;
  remove(name: string): Promise<void>;
}

/** A `FileSystemSyncAccessHandle`, or what behaves like one. */
export interface StoredFile {
  getSize(): number;
  truncate(bytes: number): void;
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  flush(): void;
  close(): void;
}

export const full = () => new DOMException('the storage takes no more', 'QuotaExceededError');

/**
 * Makes a file this long. In private windows of Chromium a storage that is full says nothing: `truncate` does
 * nothing then, and `write` returns a number that is none.
 */
export function reserve(file: StoredFile, bytes: number): void {
  if (file.getSize() === bytes) return;
  file.truncate(bytes);
  if (file.getSize() !== bytes) throw full();
}

/** Writes all of it: a handle may write less than it is given. */
export function writeAll(file: StoredFile, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length;) {
    const written = file.write(bytes.subarray(done), { at: at + done });
    if (!(written > 0 && written <= bytes.length - done)) throw full();
    done += written;
  }
}

/** Reads all of it, or as much as there is. */
export function readAll(file: StoredFile, into: Uint8Array, at: number): Uint8Array {
  let done = 0;
  while (done < into.length) {
    const read = file.read(into.subarray(done), { at: at + done });
    if (read <= 0) break;
    done += read;
  }
  return into.subarray(0, done);
}
