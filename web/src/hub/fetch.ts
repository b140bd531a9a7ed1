/** Bytes over a connection that may drop, from a server that may be busy. */
import { HubError, isAbort } from '../failure';
import { forbidden } from '../policy';

export interface Net {
  /** Sent to the hub only; a browser takes it away when it is redirected elsewhere. */
  token?: string;
  signal?: AbortSignal;
  /** Tries in a row that bring nothing before it is given up. */
  tries: number;
  /** First pause between two tries (milliseconds); each is twice as long as the one before. */
  pause: number;
  /** A connection that brings nothing for so long (milliseconds) counts as dropped. */
  patience: number;
}

export const NET: Net = { tries: 6, pause: 500, patience: 30_000 };

const LONGEST_PAUSE = 15_000;
const GRACE = 1_000;
const AGAIN = new Set([408, 425, 429, 500, 502, 503, 504]);

/** The server sends whole files only. */
export class NoRanges extends Error {}

/** A part of a file: the bytes `from` to `from + into.length` of `size`. */
export interface Piece {
  url: string;
  from: number;
  size: number;
  into: Uint8Array;
}

class Dropped extends Error {
  constructor(
    message: string,
    readonly wait = 0,
  ) {
    super(message);
  }
}

/** Fills a piece. After a dropped connection it goes on where it stopped; `arrived` is told of each new byte count. */
export async function fetchPiece(piece: Piece, net: Net, arrived: (bytes: number) => void): Promise<void> {
  let filled = 0;
  await withRetries(net, async (progressed) => {
    // All of it came before the connection dropped.
    if (filled === piece.into.length) return;
    const first = piece.from + filled;
    const last = piece.from + piece.into.length - 1;
    const whole = first === 0 && last === piece.size - 1;
    const headers = whole ? undefined : { Range: `bytes=${first}-${last}` };
    await request(piece.url, headers, net, async (response, alive) => {
      if (response.status === 200 && !whole) throw new NoRanges();
      if (response.status === 206) checkRange(response, first, piece);
      for await (const bytes of chunks(response, alive)) {
        if (filled + bytes.length > piece.into.length) throw wrongSize(piece);
        piece.into.set(bytes, filled);
        filled += bytes.length;
        progressed();
        arrived(bytes.length);
      }
    });
    if (filled < piece.into.length) throw new Dropped('the connection ended early');
  });
}

/** Reads a whole file in its order, from a server without ranges; `sink` is told where each chunk belongs. */
export async function fetchInOrder(
  url: string,
  size: number,
  net: Net,
  sink: (bytes: Uint8Array, at: number) => void | Promise<void>,
): Promise<void> {
  let reached = 0;
  await withRetries(net, async (progressed) => {
    let at = 0;
    await request(url, undefined, net, async (response, alive) => {
      for await (const bytes of chunks(response, alive)) {
        if (at + bytes.length > size) throw wrongSize({ url, size });
        // What came before the connection dropped comes again, and is not news.
        const known = Math.min(bytes.length, Math.max(0, reached - at));
        if (known < bytes.length) {
          await sink(bytes.subarray(known), at + known);
          reached = at + bytes.length;
          progressed();
        }
        at += bytes.length;
      }
    });
    if (at < size) throw new Dropped('the connection ended early');
  });
}

/** A small file, whole; `limit` bounds what is taken into memory. */
export async function fetchSmall(url: string, limit: number, net: Net): Promise<Uint8Array<ArrayBuffer>> {
  return withRetries(net, (progressed) =>
    request(url, undefined, net, async (response, alive) => {
      const parts: Uint8Array<ArrayBuffer>[] = [];
      let bytes = 0;
      for await (const chunk of chunks(response, alive)) {
        parts.push(chunk.slice());
        bytes += chunk.length;
        progressed();
        if (bytes > limit)
          throw new HubError('hub', `${url} is larger than ${limit} bytes`, 'this is no file of a model');
      }
      const all = new Uint8Array(bytes);
      parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
      return all;
    }),
  );
}

async function withRetries<T>(net: Net, attempt: (progressed: () => void) => Promise<T>): Promise<T> {
  for (let failed = 0; ;) {
    try {
      return await attempt(() => (failed = 0));
    } catch (error) {
      net.signal?.throwIfAborted();
      if (!(error instanceof Dropped)) throw error;
      if (++failed >= net.tries) {
        throw new HubError('network', error.message, 'check the connection, then resume: what has arrived is kept');
      }
      // Not all at the same moment, where several connections dropped together.
      const pause = net.pause * 2 ** (failed - 1) * (0.75 + Math.random() / 2);
      await sleep(Math.min(Math.max(pause, error.wait), LONGEST_PAUSE), net.signal);
    }
  }
}

/** One request. Anything a later try may mend becomes a `Dropped`. */
async function request<T>(
  url: string,
  headers: Record<string, string> | undefined,
  net: Net,
  use: (response: Response, alive: () => void) => Promise<T>,
): Promise<T> {
  const stalled = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      // A thread that was held up runs its timers before it reads what has arrived meanwhile.
      timer = setTimeout(() => stalled.abort(), GRACE);
    }, net.patience);
  };
  const stop = () => stalled.abort();
  net.signal?.throwIfAborted();
  net.signal?.addEventListener('abort', stop);
  const host = new URL(url).host;
  const since = performance.now();
  try {
    alive();
    const all = net.token ? { ...headers, Authorization: `Bearer ${net.token}` } : headers;
    const response = await fetch(url, { headers: all, signal: stalled.signal, cache: 'no-store' });
    if (!response.ok) throw refused(response, url);
    return await use(response, alive);
  } catch (error) {
    if (net.signal?.aborted) throw net.signal.reason;
    // fetch says TypeError for everything that is wrong with a connection; what is forbidden stays so.
    const policy = error instanceof TypeError && (await forbidden('connect-src', since));
    if (policy) throw policy;
    if (error instanceof TypeError || isAbort(error))
      throw new Dropped(`${host} cannot be reached, or dropped the connection`);
    throw error;
  } finally {
    clearTimeout(timer);
    net.signal?.removeEventListener('abort', stop);
    // Whatever was not read is not wanted.
    stalled.abort();
  }
}

function refused(response: Response, url: string): Error {
  const { status, headers } = response;
  const { host } = new URL(url);
  if (AGAIN.has(status)) {
    const seconds = Number(headers.get('Retry-After'));
    return new Dropped(`${host} answers ${status}: it is busy or out of order`, seconds > 0 ? seconds * 1000 : 0);
  }
  if (status === 401 || status === 403) {
    const advice = 'check the name; for a private or gated model accept its terms on the hub and give a token';
    return new HubError('access', `${host} refuses ${url} (${status})`, advice);
  }
  if (status === 404) return new HubError('missing', `${host} has no ${url}`, 'check the name and the revision');
  return new HubError('hub', `${host} answers ${status} to ${url}`, 'check the address of the hub');
}

function checkRange(response: Response, first: number, piece: Piece): void {
  // Not every server lets a page see this header; the hash of the whole file is checked in any case.
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('Content-Range') ?? '');
  if (!match) return;
  if (Number(match[1]) !== first) throw new Dropped('the server sent another part of the file');
  if (match[2] !== '*' && Number(match[2]) !== piece.size) throw wrongSize(piece, match[2]);
}

function wrongSize({ url, size }: { url: string; size: number }, found?: string): HubError {
  const what = found ? `${found} bytes instead of` : 'more than';
  return new HubError('size', `${url} has ${what} the ${size} the hub states`, 'try again later');
}

/** Taken from a connection at a time. */
const CHUNK = 256 << 10;

/** What arrives, in a buffer that is used again: look at a chunk before asking for the next. */
async function* chunks(response: Response, alive: () => void): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (!response.body) return;
  const reader = readerOf(response.body);
  // Thousands of chunks in buffers of their own would wait for the garbage collector by the hundred megabytes.
  let buffer = new ArrayBuffer(CHUNK);
  for (;;) {
    const { done, value } = await reader.read(new Uint8Array(buffer));
    if (done || !value) return;
    alive();
    yield value;
    buffer = value.buffer.byteLength === CHUNK ? value.buffer : new ArrayBuffer(CHUNK);
  }
}

type Reader = Pick<ReadableStreamBYOBReader, 'read'>;

function readerOf(body: ReadableStream<Uint8Array<ArrayBuffer>>): Reader {
  try {
    return body.getReader({ mode: 'byob' });
  } catch {
    // A browser without readers of this kind brings its own buffers.
    return body.getReader() as unknown as Reader;
  }
}

export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}
