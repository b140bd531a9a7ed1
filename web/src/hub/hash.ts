/** Hashes as the hub states them. */
import { createSHA1, createSHA256 } from 'hash-wasm';
import { sleep } from './fetch';
import type { HubFile } from './plan';
import { readAll, type StoredFile } from './store';

/** Read at a time, and between two looks at whether it is still wanted. */
const STRETCH = 4 << 20;

/** The SHA-256 of bytes in memory. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((b) => b.toString(16).padStart(2, '0')).join('');
}

/** Whether bytes are what the hub states about a file. */
export async function matches(file: HubFile, bytes: Uint8Array): Promise<boolean> {
  const hasher = await hasherFor(file);
  return bytes.length === file.bytes && hasher.update(bytes).digest() === file.hash.hex;
}

/** The hash of a stored file, of the kind the hub states. `hashed` is told each stretch. */
export async function hashStored(
  file: HubFile,
  stored: StoredFile,
  signal: AbortSignal | undefined,
  hashed: (bytes: number) => void,
): Promise<string> {
  const hasher = await hasherFor(file);
  const buffer = new Uint8Array(STRETCH);
  for (let at = 0; at < file.bytes; at += STRETCH) {
    const bytes = readAll(stored, buffer.subarray(0, Math.min(STRETCH, file.bytes - at)), at);
    hasher.update(bytes);
    hashed(bytes.length);
    await sleep(0, signal); // lets Cancel through
  }
  return hasher.digest();
}

async function hasherFor({ bytes, hash }: HubFile) {
  const hasher = await (hash.kind === 'sha256' ? createSHA256() : createSHA1());
  hasher.init();
  // What git hashes is the object, which begins with its kind and size.
  if (hash.kind === 'git-sha1') hasher.update(`blob ${bytes}\0`);
  return hasher;
}
