/** Answers what the page asks of the engine, one request at a time, away from the page's thread. */
import type { CurvePoint, Progress } from 'mppc';
import { asFailure, HubError } from '../failure';
import { Bench } from './bench';
import type { Reply, Request } from './messages';

/** What the engine can do, by name. */
export interface Doing {
  // `never` takes any action: each has an ask of its own.
  does: (bench: Bench, ask: never) => Promise<unknown>;
  /** Milliseconds that it may take to stop, where that is longer than usual. */
  patience?: number;
}
export type Table = Record<string, Doing>;

const tell = (reply: Reply) => postMessage(reply);
export const progress = (progress: Progress) => tell({ kind: 'progress', progress });
export const point = (point: CurvePoint) => tell({ kind: 'point', point });

let bench: Bench | undefined;
let cancelled = false;

/** Between two steps that cannot be stopped. */
export function goOn(): void {
  if (cancelled) throw new HubError('cancelled', 'cancelled');
}

export function serve(actions: Table): void {
  onmessage = ({ data }: MessageEvent<Request>) => {
    if (data.kind === 'cancel') {
      cancelled = true;
      bench?.cancel();
      return;
    }
    cancelled = false;
    bench ??= new Bench(data.base, {
      loading: (done, total) => tell({ kind: 'loading', done, total }),
      opened: (opened) => tell({ kind: 'opened', opened }),
    });
    const { does, patience } = actions[data.action] as Doing;
    tell({ kind: 'begun', patience });
    does(bench, data.ask as never).then(
      (value) => tell({ kind: 'done', value }),
      (error: unknown) => {
        // WebAssembly that has trapped is not to be trusted any more: the page hears of it as of a crash.
        if (error instanceof WebAssembly.RuntimeError)
          setTimeout(() => {
            throw error;
          });
        else tell({ kind: 'failed', failure: asFailure(error) });
      },
    );
  };
}
