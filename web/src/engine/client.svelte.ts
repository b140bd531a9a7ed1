/** The page's side of the engine. */
import type { CurvePoint, Failure, HealthReport, LeftTraining, Opened, Progress, Report } from 'mppc';
import { stopped } from '../stopped';
import type { Ask, HealthAsk, InductionAnswer, InductionAsk, PromptAnswer, PromptAsk, Reply, Request, TrainAsk, TrainedHere } from './messages';

export interface Watcher {
  loading(done: number, total: number): void;
  opened(opened: Opened): void;
  progress(progress: Progress): void;
  /** Of a training. */
  point?(point: CurvePoint): void;
}

/** A worker that has not stopped by then is ended: the engine may be in a long step. */
const PATIENCE = 300;
/** A training leaves a checkpoint first. */
const TRAINING_PATIENCE = 10_000;

const NOBODY: Watcher = { loading: () => {}, opened: () => {}, progress: () => {} };

export class Engine {
  /** Whether it is at work: it does one thing at a time. */
  busy = $state(false);
  #worker: Worker | undefined;
  #stop: (() => void) | undefined;

  /** Correlates two models; rejects with a Failure. */
  run(ask: Ask, watcher: Watcher): Promise<Report> {
    return this.#ask<Report>({ kind: 'run', base: document.baseURI, ask }, watcher);
  }

  /** Runs one prompt; rejects with a Failure. */
  prompt(ask: PromptAsk, watcher: Watcher): Promise<PromptAnswer> {
    return this.#ask<PromptAnswer>({ kind: 'prompt', base: document.baseURI, ask }, watcher);
  }

  /** Measures how healthy a model's SAEs are; rejects with a Failure. */
  health(ask: HealthAsk, watcher: Watcher): Promise<HealthReport> {
    return this.#ask<HealthReport>({ kind: 'health', base: document.baseURI, ask }, watcher);
  }

  /** Looks inside a pair of models and takes their induction circuits apart; rejects with a Failure. */
  induction(ask: InductionAsk, watcher: Watcher): Promise<InductionAnswer> {
    return this.#ask<InductionAnswer>({ kind: 'induction', base: document.baseURI, ask }, watcher);
  }

  /** Trains SAEs; rejects with a Failure, `cancelled` among them, after which the run can be gone on with. */
  train(ask: TrainAsk, watcher: Watcher): Promise<TrainedHere[]> {
    return this.#ask<TrainedHere[]>({ kind: 'train', base: document.baseURI, ask }, watcher);
  }

  /** The training that was stopped before its end. Any number may ask, each has a worker of its own. */
  static left(): Promise<LeftTraining | undefined> {
    return Engine.#once<LeftTraining | undefined>({ kind: 'left' });
  }

  /** Lets go of it. */
  static forget(): Promise<void> {
    return Engine.#once<void>({ kind: 'forget' });
  }

  static #once<T>(request: Request): Promise<T> {
    const engine = new Engine();
    return engine.#ask<T>(request, NOBODY).finally(() => engine.#worker?.terminate());
  }

  /** One at a time. The worker stays for the next, with its models loaded. */
  #ask<T>(request: Request, watcher: Watcher): Promise<T> {
    if (this.busy) {
      const busy: Failure = { code: 'busy', message: 'the engine is at work', advice: 'wait until it is done, or cancel it' };
      return Promise.reject(busy);
    }
    const since = performance.now();
    let deadline: ReturnType<typeof setTimeout> | undefined;
    this.busy = true;
    return new Promise<T>((resolve, reject) => {
      const worker = (this.#worker ??= new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
      const end = (failure: Failure) => {
        worker.terminate();
        this.#worker = undefined;
        reject(failure);
      };
      this.#stop = () => {
        worker.postMessage({ kind: 'cancel' } satisfies Request);
        const patience = request.kind === 'train' ? TRAINING_PATIENCE : PATIENCE;
        deadline ??= setTimeout(() => end({ code: 'cancelled', message: 'cancelled', advice: '' }), patience);
      };
      worker.onmessage = ({ data }: MessageEvent<Reply>) => {
        if (data.kind === 'loading') watcher.loading(data.done, data.total);
        else if (data.kind === 'opened') watcher.opened(data.opened);
        else if (data.kind === 'progress') watcher.progress(data.progress);
        else if (data.kind === 'point') watcher.point?.(data.point);
        else if (data.kind === 'done') resolve(data.value as T);
        else reject(data.failure);
      };
      // A defect of the engine ends up here; its state is not to be trusted any more.
      worker.onerror = (event) =>
        void stopped('the engine', event, since, 'try again, or with a smaller model').then(end);
      worker.postMessage(request);
    }).finally(() => {
      clearTimeout(deadline);
      this.#stop = undefined;
      this.busy = false;
    });
  }

  /** Stops the run, if there is one. */
  cancel(): void {
    this.#stop?.();
  }
}
