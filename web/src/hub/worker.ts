/** The store's worker: sync handles exist only in one, and hashing must not hold up the page. */
import { parseAddress, parseHub } from './address';
import { download, OPTIONS, type Progress } from './download';
import { asFailure } from '../failure';
import { explained } from '../policy';
import { NET, type Net } from './fetch';
import { copyFolder, planFolder } from './local';
import type { Answers, Ask, Reply, Request } from './messages';
import { opfs } from './opfs';
import { resolve } from './resolve';
import { list, remove } from './stored';

/** Progress is told at most this often (milliseconds). */
const TELL_EVERY = 100;

const running = new Map<number, AbortController>();
const tell = (reply: Reply) => postMessage(reply);

onmessage = async ({ data }: MessageEvent<Request>) => {
  if ('cancel' in data) {
    running.get(data.cancel)?.abort();
    return;
  }
  const { id, ask } = data;
  const stop = new AbortController();
  running.set(id, stop);
  try {
    tell({ id, value: await answer(id, ask, stop.signal) });
  } catch (error) {
    tell({ id, failure: asFailure(await explained(error)) });
  } finally {
    running.delete(id);
  }
};

async function answer(id: number, ask: Ask, signal: AbortSignal): Promise<Answers[keyof Answers]> {
  const net = (token: string): Net => ({ ...NET, token: token || undefined, signal });
  switch (ask.kind) {
    case 'list':
      return list(opfs);
    case 'remove':
      await remove(opfs, ask.key);
      return null;
    case 'plan':
      // Somebody waits for this answer: better a quick no.
      return resolve(parseAddress(parseHub(ask.hub), ask.text), { ...net(ask.token), tries: 3 });
    case 'planFolder':
      return planFolder(ask.name, ask.files, signal);
    case 'copyFolder':
      await copyFolder(ask.plan, ask.files, opfs, paced(id), signal);
      return null;
    case 'download':
      await download(ask.plan, opfs, { ...OPTIONS, part: ask.part ?? OPTIONS.part, net: net(ask.token) }, paced(id));
      return null;
  }
}

/** The first word of a phase is told at once, the rest now and then. */
function paced(id: number): (progress: Progress) => void {
  let told = 0;
  let phase = '';
  return (progress) => {
    const now = performance.now();
    if (phase === progress.phase && now - told < TELL_EVERY && progress.done < progress.total) return;
    [told, phase] = [now, progress.phase];
    tell({ id, progress });
  };
}
