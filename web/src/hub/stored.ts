/** What is in the store. */
import { HubError } from '../failure';
import { bytesReached, JOURNAL, MANIFEST, parseJournal, parseManifest } from './journal';
import { bytesOf, type Plan } from './plan';
import type { Folder, Store } from './store';

/** A model in the store, whole or on its way. */
export interface StoredModel {
  key: string;
  plan: Plan;
  bytes: number;
  /** Bytes that are there. */
  reached: number;
  whole: boolean;
}

export interface Listing {
  models: StoredModel[];
  /** Bytes that all of this page uses, and may use. */
  used: number;
  quota: number;
}

export async function list(store: Store): Promise<Listing> {
  const models = [];
  for (const key of await store.folders()) {
    const folder = await store.look(key);
    const model = folder && (await read(key, folder));
    if (model) models.push(model);
    // Neither whole nor to be gone on with: left by a tab that was closed in its first moment.
    else await store.alone(key, async (own) => (await read(key, own)) ?? store.remove(key));
  }
  return { models, ...(await store.room()) };
}

async function read(key: string, folder: Folder): Promise<StoredModel | undefined> {
  const manifest = parseManifest((await folder.text(MANIFEST)) ?? '');
  if (manifest) {
    const bytes = bytesOf(manifest.plan);
    return { key, plan: manifest.plan, bytes, reached: bytes, whole: true };
  }
  const journal = parseJournal((await folder.text(JOURNAL)) ?? '');
  return (
    journal && { key, plan: journal.plan, bytes: bytesOf(journal.plan), reached: bytesReached(journal), whole: false }
  );
}

/** Removes a model, unless it is on its way. */
export async function remove(store: Store, key: string): Promise<void> {
  const done = await store.alone(key, () => store.remove(key));
  if (!done) throw new HubError('busy', 'this model is on its way', 'cancel the download first, maybe in another tab');
}
