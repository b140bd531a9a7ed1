/** The browser's own file system for this page, seen from a Worker. */
import { HubError } from '../failure';
import type { Folder, Store, StoredFile } from './store';

const ROOT = 'models';

/** The page's part of the browser's storage. Private windows and settings may refuse it only when it is asked for. */
export async function directory(): Promise<FileSystemDirectoryHandle> {
  try {
    return await navigator.storage.getDirectory();
  } catch {
    const advice = 'open the page over https or on localhost, in a current browser and not in a private window';
    throw new HubError('storage', 'this browser gives the page no storage', advice);
  }
}

async function root(): Promise<FileSystemDirectoryHandle> {
  return (await directory()).getDirectoryHandle(ROOT, { create: true });
}

class OpfsFolder implements Folder {
  constructor(private readonly handle: FileSystemDirectoryHandle) {}

  async names(): Promise<string[]> {
    const names = [];
    for await (const name of this.handle.keys()) names.push(name);
    return names;
  }

  async text(name: string): Promise<string | undefined> {
    const file = await orNothing(this.handle.getFileHandle(name));
    return file && (await file.getFile()).text();
  }

  async open(name: string): Promise<StoredFile> {
    const file = await this.handle.getFileHandle(name, { create: true });
    return notInUse(file.createSyncAccessHandle());
  }

  async remove(name: string): Promise<void> {
    await orNothing(this.handle.removeEntry(name));
  }
}

export const opfs: Store = {
  async folders() {
    const names = [];
    for await (const [name, handle] of (await root()).entries()) {
      if (handle.kind === 'directory') names.push(name);
    }
    return names.sort();
  },

  async alone(name, use) {
    return navigator.locks.request(`model ${name}`, { ifAvailable: true }, async (lock) => {
      if (!lock) return undefined;
      const handle = await (await root()).getDirectoryHandle(name, { create: true });
      return { value: await use(new OpfsFolder(handle)) };
    });
  },

  async look(name) {
    const handle = await orNothing((await root()).getDirectoryHandle(name));
    return handle && new OpfsFolder(handle);
  },

  async remove(name) {
    await notInUse(orNothing((await root()).removeEntry(name, { recursive: true })));
  },

  async room() {
    const { usage = 0, quota = 0 } = await navigator.storage.estimate();
    return { used: usage, quota };
  },
};

/** Opens a stored file for the engine. */
export async function openForReading(folder: string, name: string): Promise<FileSystemSyncAccessHandle> {
  const file = await (await (await root()).getDirectoryHandle(folder)).getFileHandle(name);
  // Handles that only read may be open in several places.
  return notInUse(file.createSyncAccessHandle({ mode: 'read-only' }));
}

/** What a lookup finds, or nothing. */
export async function orNothing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotFoundError') return undefined;
    throw error;
  }
}

async function notInUse<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'NoModificationAllowedError')) throw error;
    throw new HubError('busy', 'a file of this model is in use', 'wait until it is loaded, or close the other tab');
  }
}
