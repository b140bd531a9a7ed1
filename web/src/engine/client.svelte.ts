/** The page's side of the engine. */
import type { CurvePoint, Failure, Opened, Progress } from 'mppc';
import { stopped } from '../stopped';
import type { Reply, Request } from './messages';
import type { Actions } from './worker';

export type Action = keyof Actions;
export type AskOf<A extends Action> = Parameters<Actions[A]['does']>[1];
export type AnswerOf<A extends Action> = Awaited<ReturnType<Actions[A]['does']>>;
/** Those that need not be told anything. */
type Plain = { [A in Action]: AskOf<A> extends undefined ? A : never }[Action];

export interface Watcher {
  loading(done: number, total: number): void;
  opened(opened: Opened): void;
  progress(progress: Progress): void;
  /** Of a training. */
  point(point: CurvePoint): void;
}

/**
 * A worker that has not stopped by then, in milliseconds, is ended: the engine may be in a long step. An action of the
 * table may ask for more.
 */
const PATIENCE = 300;

const NOBODY: Watcher = { loading: () => {}, opened: () => {}, progress: () => {}, point: () => {} };

export class Engine {
  /** Whether it is at work: it does one thing at a time. */
  busy = $state(false);
  #worker: Worker | undefined;
  #stop: (() => void) | undefined;

  /**
   * Asks for one of the engine's actions, one at a time; rejects with a Failure. The worker stays for the next, with
   * its models loaded.
   */
  do<A extends Action>(action: A, ask: AskOf<A>, watcher: Watcher = NOBODY): Promise<AnswerOf<A>> {
    if (this.busy) {
      const busy: Failure = {
        code: 'busy',
        message: 'the engine is at work',
        advice: 'wait until it is done, or cancel it',
      };
      return Promise.reject(busy);
    }
    const since = performance.now();
    let patience = PATIENCE;
    let deadline: ReturnType<typeof setTimeout> | undefined;
    this.busy = true;
    return new Promise<AnswerOf<A>>((resolve, reject) => {
      const worker = (this.#worker ??= new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
      const end = (failure: Failure) => {
        worker.terminate();
        this.#worker = undefined;
        reject(failure);
      };
      this.#stop = () => {
        worker.postMessage({ kind: 'cancel' } satisfies Request);
        deadline ??= setTimeout(() => end({ code: 'cancelled', message: 'cancelled', advice: '' }), patience);
      };
      worker.onmessage = ({ data }: MessageEvent<Reply>) => {
        if (data.kind === 'begun') patience = data.patience ?? PATIENCE;
        else if (data.kind === 'loading') watcher.loading(data.done, data.total);
        else if (data.kind === 'opened') watcher.opened(data.opened);
        else if (data.kind === 'progress') watcher.progress(data.progress);
        else if (data.kind === 'point') watcher.point(data.point);
        else if (data.kind === 'done') resolve(data.value as AnswerOf<A>);
        else reject(data.failure);
      };
      // A defect of the engine ends up here; its state is not to be trusted any more.
      worker.onerror = (event) =>
        void stopped('the engine', event, since, 'try again, or with a smaller model').then(end);
      worker.postMessage({ kind: 'do', action, base: document.baseURI, ask } satisfies Request);
    }).finally(() => {
      clearTimeout(deadline);
      this.#stop = undefined;
      this.busy = false;
    });
  }

  /** The same in a worker of its own, which any number may have. */
  static once<A extends Plain>(action: A): Promise<AnswerOf<A>> {
    const engine = new Engine();
    return engine.do(action, undefined as AskOf<A>).finally(() => engine.#worker?.terminate());
  }

  /** Stops what goes on, if anything does. */
  cancel(): void {
    this.#stop?.();
  }
}

/** The page's: whatever a card asks for is done by this one. */
export const engine = new Engine();
