/** The open engine and the models on it, between one request and the next. */
import init, { Lab, type Opened } from 'mppc';
import { HubError } from '../failure';
import { reached } from '../own';
import { nameOf, type EngineName, type ModelRef } from './messages';
import { fetchModel, readIndex } from './models';
import { withStored } from './stored';

/** Bytes of weights that the processor's engine can hold: WebAssembly addresses 4 GiB. */
const MOST = 3.6e9;

export interface Loading {
  loading(done: number, total: number): void;
  opened(opened: Opened): void;
}

/** Compiles WebAssembly, unless that is done. */
export const start = () => reached('the engine', () => init());

export class Bench {
  #lab: Lab | undefined;
  #engine: EngineName | undefined;
  /** Names under which models are loaded. */
  readonly #loaded = new Set<string>();
  /** The one of them that comes from the storage: large, so there is one at a time. */
  #large: string | undefined;

  constructor(
    /** The folder of index.html. */
    private readonly base: string,
    private readonly tell: Loading,
  ) {}

  /**
   * The lab of an engine: the one that is open, unless its device has failed. A device that was lost stays lost, and
   * after any failure of one its tensors are not to be trusted; another is then asked for.
   */
  async open(choice: EngineName): Promise<Lab> {
    await start();
    if (!this.#lab || this.#engine !== choice || this.#lab.failed()) {
      this.#lab?.free();
      this.#loaded.clear();
      [this.#lab, this.#large] = [undefined, undefined];
      this.#lab = await Lab.open(choice);
      this.#engine = choice;
    }
    this.tell.opened(this.#lab.opened());
    return this.#lab;
  }

  /** Asks the work that goes on to stop at its next step. */
  cancel(): void {
    this.#lab?.cancel();
  }

  /** Loads a model unless it is there; gives the seconds that took. */
  async load(lab: Lab, model: ModelRef): Promise<number | undefined> {
    const name = nameOf(model);
    if (this.#loaded.has(name)) return undefined;
    const start = performance.now();
    await (model.stored ? this.#loadStored(lab, model) : this.loadBuiltin(lab, [name]));
    return (performance.now() - start) / 1000;
  }

  /** Loads those of the models that are not there yet; nothing is asked of the server where all are. */
  async loadBuiltin(lab: Lab, names: string[]): Promise<void> {
    const wanted = [...new Set(names)].filter((name) => !this.#loaded.has(name));
    if (!wanted.length) return;
    const index = await readIndex(this.base);
    const models = wanted.map((name) => {
      const model = index.models.find((m) => m.name === name);
      if (!model) throw new HubError('model', `${name} does not come with this page`, 'choose another model');
      return model;
    });
    const total = models.flatMap((model) => model.files).reduce((sum, file) => sum + file.bytes, 0);
    let done = 0;
    for (const model of models) {
      const files = await fetchModel(this.base, model, (bytes) => this.tell.loading((done += bytes), total));
      lab.addModel(model.name, files);
      this.#loaded.add(model.name);
    }
  }

  /** Straight from the browser's storage to the engine: the weights are never in memory as a whole. */
  async #loadStored(lab: Lab, model: ModelRef): Promise<void> {
    const name = nameOf(model);
    if (this.#large) {
      lab.removeModel(this.#large);
      this.#loaded.delete(this.#large);
      this.#large = undefined;
    }
    await withStored(model.stored as string, (files, total) => {
      if (lab.opened().engine === 'cpu' && total > MOST) {
        const advice = 'run it on a GPU, or with the command line';
        throw new HubError('model', `${name} is larger than the memory of WebAssembly, 4 GB`, advice);
      }
      this.tell.loading(0, total);
      lab.addModel(name, files, (done) => this.tell.loading(Math.min(done, total), total));
      this.tell.loading(total, total);
    });
    this.#loaded.add(name);
    this.#large = name;
  }
}
