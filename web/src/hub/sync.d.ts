/** What the library of types has for Workers only, which cannot be had together with the page's. */
interface FileSystemSyncAccessHandle {
  getSize(): number;
  truncate(bytes: number): void;
  read(into: ArrayBufferView, options?: { at: number }): number;
  write(bytes: ArrayBufferView, options?: { at: number }): number;
  flush(): void;
  close(): void;
}

interface FileSystemFileHandle {
  /** Not every browser knows the mode yet; those that do not, open for writing, too. */
  createSyncAccessHandle(options?: { mode: 'read-only' | 'readwrite' }): Promise<FileSystemSyncAccessHandle>;
}
