/** Files of the page itself: where it was put up, beside index.html. */
import { HubError } from './failure';
import { explained, forbidden } from './policy';

const NOT_WHOLE = 'reload the page; if that does not help, it was not put up whole';

/** Fetches one of them; `base` is the folder of index.html. */
export async function own(path: string, base: string): Promise<Response> {
  const response = await reached(path, () => fetch(new URL(path, base)));
  if (!response.ok)
    throw new HubError('page', `${path} of this page: ${response.status} ${response.statusText}`, NOT_WHOLE);
  return response;
}

export async function ownJson<T>(path: string, base: string): Promise<T> {
  const response = await own(path, base);
  return reached(path, async () => {
    const text = await response.text();
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new HubError('page', `${path} of this page is no JSON`, NOT_WHOLE);
    }
  });
}

export async function ownBytes(path: string, base: string, bytes: number): Promise<Uint8Array> {
  const response = await own(path, base);
  const content = await reached(path, async () => new Uint8Array(await response.arrayBuffer()));
  if (content.length === bytes) return content;
  throw new HubError('page', `${path} of this page has ${content.length} bytes instead of ${bytes}`, NOT_WHOLE);
}

/** Does what needs a file of the page. `fetch` says TypeError, and nothing else, to whatever is wrong on the way. */
export async function reached<T>(what: string, use: () => Promise<T>): Promise<T> {
  const since = performance.now();
  try {
    return await use();
  } catch (error) {
    if (!(error instanceof TypeError)) throw await explained(error);
    const advice = 'check the connection and try again; what is loaded already runs without it';
    throw (
      (await forbidden('connect-src', since)) ??
      new HubError('network', `${what} of this page cannot be fetched`, advice)
    );
  }
}
