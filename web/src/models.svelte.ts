/** The models of this browser as the page shows them, and the download that is on its way. */
import type { Failure } from 'mppc';
import { asFailure } from './failure';
import { isHub } from './hub/address';
import { Hub } from './hub/client';
import type { Progress } from './hub/download';
import { expand } from './hub/known';
import type { LocalFiles } from './hub/local';
import type { Ask } from './hub/messages';
import { Meter } from './hub/meter';
import { keyOf, LOCAL, type Plan } from './hub/plan';
import type { Listing, StoredModel } from './hub/stored';

export interface Download {
  plan: Plan;
  progress?: Progress;
  /** Bytes a second, and seconds left in this phase. */
  pace?: { rate: number; left: number };
  /** Since it was begun or resumed. */
  seconds: number;
}

const WORDS = { download: 'Downloading', check: 'Checking', mend: 'Fetching again what arrived wrong of' };

/** What a download is at. */
export const titleOf = ({ plan, progress }: Download): string => `${WORDS[progress?.phase ?? 'download']} ${plan.repo}`;

/** What was done, to be said once. */
export interface Done {
  repo: string;
  seconds: number;
  bytes: number;
}

export class Models {
  listing = $state.raw<Listing>();
  /** What the hub says about the model that was asked for. */
  plan = $state.raw<Plan>();
  planning = $state(false);
  download = $state.raw<Download>();
  done = $state.raw<Done>();
  failure = $state.raw<Failure>();
  /** Whether the browser has promised not to clear the storage away by itself. */
  kept = $state<boolean>();
  /** Kept in memory only. */
  token = '';

  readonly #hub = new Hub();
  #stop: AbortController | undefined;
  /** Of the folder that was looked at. */
  #files: LocalFiles = new Map();

  constructor(
    public hub: string,
    /** Size of a part, where the address of the page sets one. */
    private readonly part: number | undefined,
  ) {}

  /** Whether it looks or fetches: it does one thing at a time. */
  get busy(): boolean {
    return this.planning || !!this.download;
  }

  /** Models that can be run. */
  get whole(): StoredModel[] {
    return this.listing?.models.filter((model) => model.whole) ?? [];
  }

  async refresh(): Promise<void> {
    this.listing = (await this.#said(this.#hub.ask({ kind: 'list' }))) ?? this.listing;
    this.kept = await keeping(() => navigator.storage?.persisted?.());
  }

  /** Asks the hub what a model is, without fetching it. */
  async look(text: string): Promise<void> {
    this.#clear();
    this.planning = true;
    this.#stop = new AbortController();
    const ask = { kind: 'plan', hub: this.hub, text: expand(text), token: this.token } as const;
    this.plan = await this.#said(this.#hub.ask(ask, { signal: this.#stop.signal }));
    this.planning = false;
  }

  /** Looks at a folder of this computer. */
  async lookAtFolder(name: string, files: LocalFiles): Promise<void> {
    this.#clear();
    this.planning = true;
    this.#stop = new AbortController();
    const ask = { kind: 'planFolder', name, files } as const;
    this.plan = await this.#said(this.#hub.ask(ask, { signal: this.#stop.signal }));
    this.#files = files;
    this.planning = false;
  }

  /** Fetches what is missing of a model, or copies it. */
  async fetch(plan: Plan): Promise<void> {
    this.#clear();
    this.#stop = new AbortController();
    const start = performance.now();
    const seconds = () => (performance.now() - start) / 1000;
    const meter = new Meter();
    this.download = { plan, seconds: 0 };
    // The browser may ask the person, for as long as they think, or refuse; the download goes on meanwhile.
    void keeping(() => navigator.storage?.persist?.()).then((kept) => (this.kept = kept));
    const progress = (progress: Progress) =>
      (this.download = { plan, progress, pace: meter.at(progress, seconds()), seconds: seconds() });
    // A token is for the hub it was typed for.
    const token = isHub(plan.hub, this.hub) ? this.token : '';
    const ask: Ask =
      plan.hub === LOCAL
        ? { kind: 'copyFolder', plan, files: this.#files }
        : { kind: 'download', plan, token, part: this.part };
    const { signal } = this.#stop;
    const done = await this.#said(this.#hub.ask(ask, { signal, progress }));
    const bytes = this.download.progress?.total ?? 0;
    this.download = undefined;
    const took = seconds();
    // The list first: who reads that it is stored finds it there.
    await this.refresh();
    if (done === null) this.done = { repo: plan.repo, seconds: took, bytes };
  }

  async remove(key: string): Promise<void> {
    this.#clear();
    await this.#said(this.#hub.ask({ kind: 'remove', key }));
    await this.refresh();
  }

  cancel(): void {
    this.#stop?.abort();
  }

  /** Shows why something is not done. */
  refuse(error: unknown): void {
    const failure = asFailure(error);
    if (failure.code !== 'cancelled') this.failure = failure;
  }

  stored(plan: Plan): StoredModel | undefined {
    return this.listing?.models.find(({ key }) => key === keyOf(plan));
  }

  #clear(): void {
    [this.failure, this.plan, this.done] = [undefined, undefined, undefined];
  }

  /** A failure is shown; what was cancelled is no failure. */
  async #said<T>(promise: Promise<T>): Promise<T | undefined> {
    try {
      return await promise;
    } catch (error) {
      this.refuse(error);
      return undefined;
    }
  }
}

/** What the browser says of keeping the storage; some have no word for it. */
async function keeping(ask: () => Promise<boolean> | undefined): Promise<boolean | undefined> {
  try {
    return await ask();
  } catch {
    return undefined;
  }
}
