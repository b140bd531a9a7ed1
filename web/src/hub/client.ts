/** The page's side of the store. */
import { stopped } from '../stopped';
import type { Progress } from './download';
import type { Answers, Ask, Reply, Request } from './messages';

interface Waiting {
  kind: Ask['kind'];
  resolve: (value: never) => void;
  reject: (failure: unknown) => void;
  progress?: (progress: Progress) => void;
}

export class Hub {
  #worker: Worker | undefined;
  #next = 0;
  readonly #waiting = new Map<number, Waiting>();

  /** Asks the worker; rejects with a Failure. */
  ask<A extends Ask>(
    ask: A,
    options: { signal?: AbortSignal; progress?: (progress: Progress) => void } = {},
  ): Promise<Answers[A['kind']]> {
    const worker = (this.#worker ??= this.#start());
    const id = this.#next++;
    options.signal?.addEventListener('abort', () => worker.postMessage({ cancel: id } satisfies Request));
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { kind: ask.kind, resolve, reject, progress: options.progress });
      worker.postMessage({ id, ask } satisfies Request);
    });
  }

  #start(): Worker {
    const since = performance.now();
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const waiting = this.#waiting.get(data.id);
      if ('progress' in data) {
        waiting?.progress?.(data.progress);
        return;
      }
      this.#waiting.delete(data.id);
      if ('failure' in data) waiting?.reject(data.failure);
      else waiting?.resolve(data.value as never);
      // A download leaves buffers behind by the hundred megabytes; they go with the worker.
      if ((waiting?.kind === 'download' || waiting?.kind === 'copyFolder') && !this.#waiting.size) this.#end();
    };
    worker.onerror = (event) => {
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      this.#end();
      void stopped('the store', event, since, 'try again').then((failure) =>
        waiting.forEach(({ reject }) => reject(failure)),
      );
    };
    return worker;
  }

  #end(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
