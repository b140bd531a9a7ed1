/** One model from a hub into a folder: in parts, several at once, checked, whole or not there. */
import { fileUrl } from './address';
import { HubError, isFull } from '../failure';
import { fetchInOrder, fetchPiece, NET, NoRanges, type Net } from './fetch';
import { hashStored, sha256 } from './hash';
import { lookInside } from './inside';
import { bytesReached, Journal, MANIFEST, parseManifest, writeManifest } from './journal';
import { bytesOf, keyOf, sameFiles, type HubFile, type Plan } from './plan';
import { checkRoom, noRoom } from './quota';
import { readAll, reserve, writeAll, type Folder, type Store, type StoredFile } from './store';

/** A part of a file, to be filled with the bytes from `from` on. */
export interface Part {
  path: string;
  from: number;
  /** Of the whole file. */
  size: number;
  into: Uint8Array;
}

/** Where the bytes come from. */
export interface Source {
  part(part: Part, net: Net, arrived: (bytes: number) => void): Promise<void>;
  /** A whole file in its order, where `part` throws `NoRanges`. */
  inOrder?(path: string, size: number, net: Net, sink: (bytes: Uint8Array, at: number) => Promise<void>): Promise<void>;
}

/** The hub that the plan is from. */
const hubOf = (plan: Plan): Source => ({
  part: ({ path, ...piece }, net, arrived) => fetchPiece({ url: fileUrl(plan, path), ...piece }, net, arrived),
  inOrder: (path, size, net, sink) => fetchInOrder(fileUrl(plan, path), size, net, sink),
});

export interface Options {
  /** Bytes of a part. */
  part: number;
  /** Parts on their way at once. */
  atOnce: number;
  net: Net;
  /** Instead of the hub. */
  source?: Source;
}

export const OPTIONS: Options = { part: 8 << 20, atOnce: 4, net: NET };

/** How often a file with the wrong hash is mended before it is given up. */
const MENDINGS = 2;

export interface Progress {
  phase: 'download' | 'check' | 'mend';
  /** Bytes of this phase. */
  done: number;
  total: number;
}

/**
 * Downloads what of the plan is not stored yet. Rejects with a `HubError`, or with the signal's reason. What has
 * arrived is then kept, to go on from, unless it can never become whole.
 */
export async function download(
  plan: Plan,
  store: Store,
  options: Options,
  tell: (at: Progress) => void,
): Promise<void> {
  const key = keyOf(plan);
  const done = await store.alone(key, async (folder) => {
    const whole = parseManifest((await folder.text(MANIFEST)) ?? '');
    if (whole && sameFiles(whole.plan, plan)) return;
    if (whole) {
      const other = `${plan.repo} is stored already, from ${whole.plan.hub || 'a folder'}, and its files are others`;
      throw new HubError('other', other, 'delete the stored one first, if this hub is to be trusted');
    }
    const hopeless = await attempt(plan, store, folder, options, tell);
    if (!hopeless) return;
    await store.remove(key);
    throw hopeless;
  });
  if (!done) {
    throw new HubError('busy', `${plan.repo} is already on its way`, 'wait for the other tab, or cancel it there');
  }
}

/** Returns an error after which nothing is worth keeping; throws the others. */
async function attempt(
  plan: Plan,
  store: Store,
  folder: Folder,
  options: Options,
  tell: (at: Progress) => void,
): Promise<unknown> {
  const fresh = (await folder.names()).length === 0;
  let job: Job | undefined;
  try {
    if (fresh) checkRoom(plan.repo, await store.room(), bytesOf(plan));
    job = new Job(plan, folder, await Journal.open(folder, plan, options.part), options, tell);
    await job.run();
    job.close();
    await writeManifest(folder, plan);
    return undefined;
  } catch (error) {
    if (isFull(error)) return noRoom(plan.repo, await store.room(), bytesOf(plan));
    const final = error instanceof HubError && ['hash', 'size', 'model'].includes(error.code);
    if (final || (fresh && !job?.stored)) return error;
    throw error;
  } finally {
    job?.close();
  }
}

/** A part that is still to come. */
interface Wanted {
  file: number;
  part: number;
}

/** What is done with a part; the buffer is as large as any part and free to use. */
type Work = (one: Wanted, net: Net, buffer: Uint8Array<ArrayBuffer>) => Promise<void>;

class Job {
  readonly #source: Source;
  /** Parts stored by this job. */
  stored = 0;
  readonly #files: StoredFile[] = [];
  /** Bytes of this phase, and of a mending. */
  #done = 0;
  #mending = 0;

  constructor(
    private readonly plan: Plan,
    private readonly folder: Folder,
    private readonly journal: Journal,
    private readonly options: Options,
    private readonly tell: (at: Progress) => void,
  ) {
    this.#source = options.source ?? hubOf(plan);
  }

  async run(): Promise<void> {
    for (const file of this.plan.files) {
      const stored = await this.folder.open(file.path);
      this.#files.push(stored);
      // Takes the room now, so that a full storage is known before hours of downloading.
      reserve(stored, file.bytes);
    }
    await this.#fetch(this.#missing());
    await this.#check();
    await this.#lookInside();
    // Once: on a busy disk each flush can take seconds, in which this thread hears nothing of its connections.
    for (const stored of this.#files) stored.flush();
  }

  /** Lets go of the files; once more does no harm. */
  close(): void {
    for (const file of this.#files.splice(0)) file.close();
    this.journal.close();
  }

  #missing(): Wanted[] {
    const { plan, digests } = this.journal.reached;
    return plan.files.flatMap((file, f) =>
      Array.from({ length: this.#parts(file) }, (_, part) => ({ file: f, part })).filter(
        ({ part }) => !digests[f]!.has(part),
      ),
    );
  }

  #parts(file: HubFile): number {
    return Math.ceil(file.bytes / this.journal.reached.part);
  }

  #size({ file, part }: Wanted): number {
    const size = this.journal.reached.part;
    return Math.min(size, this.plan.files[file]!.bytes - part * size);
  }

  async #fetch(wanted: Wanted[]): Promise<void> {
    this.#done = bytesReached(this.journal.reached);
    try {
      await this.#atOnce(wanted, (...it) => this.#fetchPart(...it));
    } catch (error) {
      if (!(error instanceof NoRanges)) throw error;
      this.#done = bytesReached(this.journal.reached);
      await this.#fetchInOrder();
    }
  }

  /** Works through parts, several at once. The first failure stops the others. */
  async #atOnce(wanted: Wanted[], work: Work): Promise<void> {
    const stop = new AbortController();
    const outer = this.options.net.signal;
    const signal = outer ? AbortSignal.any([outer, stop.signal]) : stop.signal;
    const queue = wanted.values();
    const lane = async () => {
      const buffer = new Uint8Array(this.journal.reached.part);
      for (const one of queue) {
        signal.throwIfAborted();
        await work(one, { ...this.options.net, signal }, buffer);
      }
    };
    const lanes = Array.from({ length: Math.min(this.options.atOnce, wanted.length) }, lane);
    try {
      await Promise.all(lanes);
    } catch (error) {
      stop.abort();
      await Promise.allSettled(lanes);
      outer?.throwIfAborted();
      throw error;
    }
  }

  async #fetchPart(...[one, net, buffer]: Parameters<Work>): Promise<void> {
    const into = buffer.subarray(0, this.#size(one));
    this.#store(one, into, await this.#arrive(one, net, into, 'download'));
  }

  /** Fills `into` and gives its digest. */
  async #arrive(one: Wanted, net: Net, into: Uint8Array<ArrayBuffer>, phase: Progress['phase']): Promise<string> {
    const { path, bytes: size } = this.plan.files[one.file]!;
    const part = { path, from: one.part * this.journal.reached.part, size, into };
    await this.#source.part(part, net, (bytes) => this.#progress(bytes, phase));
    return sha256(into);
  }

  #store(one: Wanted, bytes: Uint8Array, digest: string): void {
    const file = this.#files[one.file]!;
    writeAll(file, bytes, one.part * this.journal.reached.part);
    this.journal.add(one.file, one.part, digest);
    this.stored++;
  }

  /** From a server that sends whole files only. */
  async #fetchInOrder(): Promise<void> {
    const { part: size, digests } = this.journal.reached;
    for (const [f, file] of this.plan.files.entries()) {
      if (digests[f]!.size === this.#parts(file)) continue;
      let buffer = new Uint8Array(this.#size({ file: f, part: 0 }));
      await this.#source.inOrder?.(file.path, file.bytes, this.options.net, async (bytes, at) => {
        for (let used = 0; used < bytes.length;) {
          const part = Math.floor((at + used) / size);
          const from = at + used - part * size;
          const some = bytes.subarray(used, used + buffer.length - from);
          buffer.set(some, from);
          used += some.length;
          if (!digests[f]!.has(part)) this.#progress(some.length, 'download');
          if (from + some.length < buffer.length) continue;
          if (!digests[f]!.has(part)) this.#store({ file: f, part }, buffer, await sha256(buffer));
          const left = file.bytes - (part + 1) * size;
          if (left > 0) buffer = new Uint8Array(Math.min(size, left));
        }
      });
    }
  }

  async #check(): Promise<void> {
    for (let mended = 0; ; mended++) {
      const wrong = await this.#wrongFiles();
      if (!wrong.length) return;
      const changed = mended < MENDINGS && (await this.#mend(wrong));
      if (!changed) {
        const names = wrong.map((f) => this.plan.files[f]!.path).join(', ');
        const advice = 'the download was removed; try again later, or another hub';
        throw new HubError('hash', `${names} of ${this.plan.repo} does not have the hash the hub states`, advice);
      }
    }
  }

  /** Bytes may be those the hub states, and yet no model. */
  async #lookInside(): Promise<void> {
    const { repo, files } = this.plan;
    await lookInside(repo, files, (path, from, bytes) => {
      const stored = this.#files[files.findIndex((file) => file.path === path)]!;
      return readAll(stored, new Uint8Array(bytes), from);
    });
  }

  async #wrongFiles(): Promise<number[]> {
    this.#done = 0;
    const wrong = [];
    for (const [f, file] of this.plan.files.entries()) {
      const { signal } = this.options.net;
      const found = await hashStored(file, this.#files[f]!, signal, (bytes) => this.#progress(bytes, 'check'));
      if (found !== file.hash.hex) wrong.push(f);
    }
    return wrong;
  }

  /**
   * The hub states a hash of the whole file only. So a bad part is found by what it was when it arrived: the storage
   * changed it, or a second download of it differs. Tells whether anything was found.
   */
  async #mend(wrong: number[]): Promise<boolean> {
    const parts = wrong.flatMap((file) =>
      Array.from({ length: this.#parts(this.plan.files[file]!) }, (_, part) => ({ file, part })),
    );
    const damaged: Wanted[] = [];
    const buffer = new Uint8Array(this.journal.reached.part);
    for (const one of parts) {
      const bytes = buffer.subarray(0, this.#size(one));
      readAll(this.#files[one.file]!, bytes, one.part * this.journal.reached.part);
      if ((await sha256(bytes)) !== this.#digest(one)) damaged.push(one);
    }
    const again = damaged.length ? damaged : parts;
    const total = again.reduce((sum, one) => sum + this.#size(one), 0);
    this.#done = 0;
    this.#mending = total;
    let changed = damaged.length > 0;
    const refetch: Work = async (one, net, buffer) => {
      const into = buffer.subarray(0, this.#size(one));
      const digest = await this.#arrive(one, net, into, 'mend');
      if (!damaged.length && digest === this.#digest(one)) return;
      changed = true;
      this.#store(one, into, digest);
    };
    try {
      await this.#atOnce(again, refetch);
    } catch (error) {
      if (!(error instanceof NoRanges)) throw error;
      for (const f of wrong) this.journal.reached.digests[f]!.clear();
      await this.#fetchInOrder();
      return true;
    }
    return changed;
  }

  #digest({ file, part }: Wanted): string | undefined {
    return this.journal.reached.digests[file]!.get(part);
  }

  #progress(bytes: number, phase: Progress['phase']): void {
    this.#done += bytes;
    const total = phase === 'mend' ? this.#mending : bytesOf(this.plan);
    this.tell({ phase, done: Math.min(this.#done, total), total });
  }
}
