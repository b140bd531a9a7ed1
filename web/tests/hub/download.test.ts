/** Downloads from the local hub into a store in memory: everything but the browser. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/hub/address';
import { download, type Options, type Progress } from '../../src/hub/download';
import { HubError } from '../../src/failure';
import { JOURNAL, MANIFEST } from '../../src/hub/journal';
import { keyOf, type Plan } from '../../src/hub/plan';
import { resolve } from '../../src/hub/resolve';
import { list, remove } from '../../src/hub/stored';
import { MemoryStore } from './memory';
import { MODELS, Server } from './server';

const WEIGHTS = 'model.safetensors';
const REPO = 'test/tiny-neox';
const PART = 256 << 10;

let hub: Server;
let whole: Buffer;
let store: MemoryStore;

beforeAll(async () => {
  hub = await Server.start();
  whole = await readFile(join(MODELS, 'tiny-neox', WEIGHTS));
  await hub.putModel(REPO);
  await hub.putModel(`${REPO}@old`, 'tiny-mamba');
  await hub.putShards('test/shards', 3);
  await hub.put('test/pickle', { 'config.json': '{"model_type":"gpt_neox"}', 'pytorch_model.bin': 'x' });
  await hub.put('test/llama', { 'config.json': '{"model_type":"llama"}', [WEIGHTS]: 'x' });
  await hub.put('test/no-tokenizer', { 'config.json': '{"model_type":"mamba"}', [WEIGHTS]: 'x' });
  await hub.put('test/outside', {
    'config.json': '{"model_type":"mamba"}',
    'model.safetensors.index.json': '{"weight_map":{"a":"../../secret.safetensors"}}',
  });
});
afterAll(() => hub.stop());
beforeEach(async () => {
  await hub.reset();
  store = new MemoryStore();
});

const options = (more: Partial<Options['net']> = {}): Options => ({
  part: PART,
  atOnce: 4,
  net: { tries: 3, pause: 5, patience: 5_000, ...more },
});
const plan = (text = REPO) => resolve(parseAddress(hub.url, text), options().net);

async function get(what: Plan, how = options(), progress: Progress[] = []): Promise<Progress[]> {
  await download(what, store, how, (at) => progress.push(at));
  return progress;
}

async function failure(promise: Promise<unknown>): Promise<HubError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(HubError);
  return error as HubError;
}

const weightsOf = (of: Plan) => Buffer.from(store.file(keyOf(of), WEIGHTS) ?? []);

/** Nothing of it is left, not even a byte. */
async function expectNothing() {
  expect(store.content.size).toBe(0);
  expect(store.used).toBe(0);
}

it('waits for the disk once a file, not once a part', async () => {
  await get(await plan());
  // Three files and the manifest.
  expect(store.flushes).toBe(4);
});

describe('a plan', () => {
  it('names the commit, and every file with its size and hash', async () => {
    const got = await plan();
    expect(got.commit).toMatch(/^[0-9a-f]{40}$/);
    expect(got.files.map((f) => [f.path, f.hash.kind])).toEqual([
      ['config.json', 'git-sha1'],
      ['tokenizer.json', 'git-sha1'],
      [WEIGHTS, 'sha256'],
    ]);
    expect(got.files[2]!.bytes).toBe(whole.length);
    expect(await hub.weights()).toEqual([]);
  });

  it('of another revision has another commit', async () => {
    const [main, old] = [await plan(), await plan(`${REPO}@old`)];
    expect(old.commit).not.toBe(main.commit);
    expect((await plan(`${REPO}@${old.commit}`)).files).toEqual(old.files);
  });

  it('of shards names them all', async () => {
    const paths = (await plan('test/shards')).files.map((f) => f.path);
    expect(paths).toEqual(expect.arrayContaining(['model.safetensors.index.json', 'model-00003-of-00003.safetensors']));
    expect(paths.length).toBe(6);
  });

  it.each([
    ['test/pickle', 'pickle', /only pytorch_model.bin/, /hf download test\/pickle --local-dir DIR.*weights_only=True/],
    ['test/llama', 'model', /model_type llama|is a llama/, /GPT-NeoX and Mamba/],
    ['test/no-tokenizer', 'model', /no tokenizer\.json/, /Hugging Face format/],
    ['test/outside', 'model', /no usable shards/, /./],
    ['test/nothing', 'missing', /shows no test\/nothing/, /check the name/],
    ['test/tiny-neox@never', 'missing', /the revision never/, /check the name/],
  ])('of %s is refused: %s', async (repo, code, message, advice) => {
    const error = await failure(plan(repo));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.advice).toMatch(advice);
    expect(await hub.weights()).toEqual([]);
  });

  it.each(['', 'pythia', 'a/b/c', '../etc', 'a/..', 'a/b@', 'a/b@../x', 'a b/c'])('is not made of “%s”', (text) => {
    expect(() => parseAddress(hub.url, text)).toThrow(HubError);
  });

  it('fails clearly where there is no hub', async () => {
    const nowhere = resolve(parseAddress('http://127.0.0.1:9', REPO), options().net);
    const error = await failure(nowhere);
    expect([error.code, error.advice]).toEqual(['network', expect.stringContaining('stored here run without it')]);
  });

  it('refuses a small file that is not what the hub states', async () => {
    await hub.faults({ corrupt: [{ path: 'config.json', offset: 3 }] });
    expect((await failure(plan())).code).toBe('hash');
  });

  it('of a private model needs the token', async () => {
    await hub.faults({ private: { [REPO]: 'secret' } });
    expect((await failure(plan())).code).toBe('missing');
    const got = await resolve(parseAddress(hub.url, REPO), { ...options().net, token: 'secret' });
    expect(got.files.length).toBe(3);
  });
});

describe('a download', () => {
  it('fetches parts, several at once, and says how far it is', async () => {
    const what = await plan();
    const progress = await get(what);
    expect(weightsOf(what).equals(whole)).toBe(true);
    const ranges = (await hub.weights()).map((e) => e.range);
    expect(ranges.length).toBe(Math.ceil(whole.length / PART));
    expect(new Set(ranges).size).toBe(ranges.length);
    const last = progress.filter((p) => p.phase === 'download').at(-1)!;
    expect(last.done).toBe(last.total);
    const { models } = await list(store);
    expect(models).toMatchObject([{ key: keyOf(what), whole: true, reached: last.total, bytes: last.total }]);
    expect(store.file(keyOf(what), JOURNAL)).toBeUndefined();
  });

  it('is not repeated', async () => {
    const what = await plan();
    await get(what);
    await hub.reset();
    await get(what);
    expect(await hub.log()).toEqual([]);
  });

  it('of shards fetches each', async () => {
    const what = await plan('test/shards');
    await get(what);
    expect((await list(store)).models[0]!.whole).toBe(true);
  });

  it('that is cut three times goes on where it stopped', async () => {
    const what = await plan();
    await hub.faults({ cut: [{ path: WEIGHTS, after: 100_000, times: 3 }] });
    await get(what);
    expect(weightsOf(what).equals(whole)).toBe(true);
    const log = await hub.weights();
    expect(log.length).toBe(Math.ceil(whole.length / PART) + 3);
    // Nothing that arrived was asked for again.
    expect(log.filter((e) => Number(/=(\d+)/.exec(e.range ?? '')?.[1]) % PART !== 0).length).toBe(3);
  });

  it('waits out a busy server', async () => {
    const what = await plan();
    await hub.faults({
      status: [
        { path: WEIGHTS, code: 503, times: 1 },
        { path: WEIGHTS, code: 429, times: 1 },
      ],
    });
    await get(what);
    expect(weightsOf(what).equals(whole)).toBe(true);
  });

  it('takes a server without ranges as it is', async () => {
    const what = await plan();
    await hub.faults({ no_range: true, cut: [{ path: WEIGHTS, after: 700_000, times: 5 }] });
    await get(what, options({ tries: 9 }));
    expect(weightsOf(what).equals(whole)).toBe(true);
  });

  it('that is given up by the network can be resumed', async () => {
    const what = await plan();
    await hub.faults({ rate: 500_000 });
    let broken = false;
    const stopped = download(what, store, options(), ({ done }) => {
      if (broken || done < 5 * PART) return;
      broken = true;
      void hub.faults({ rate: 500_000, status: [{ path: WEIGHTS, code: 503 }] });
    });
    const error = await failure(stopped);
    expect(error.code).toBe('network');
    expect(error.advice).toContain('resume');
    const [model] = (await list(store)).models;
    expect(model!.whole).toBe(false);
    expect(model!.reached).toBeGreaterThan(PART);
    await hub.reset();
    await get(what);
    expect(weightsOf(what).equals(whole)).toBe(true);
    const again = (await hub.weights()).reduce((sum, e) => sum + e.bytes, 0);
    expect(again).toBeLessThanOrEqual(whole.length - PART);
  });

  it('that is cancelled stops at once and keeps what it has', async () => {
    const what = await plan();
    await hub.faults({ rate: 1_000_000 });
    const stop = new AbortController();
    const start = performance.now();
    const running = download(what, store, options({ signal: stop.signal }), ({ done }) => {
      if (done > 5 * PART) stop.abort();
    });
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
    expect(performance.now() - start).toBeLessThan(3_000);
    const [model] = (await list(store)).models;
    expect(model).toMatchObject({ whole: false });
    await hub.reset();
    await get(what);
    expect(weightsOf(what).equals(whole)).toBe(true);
    expect((await hub.weights()).length).toBeLessThan(Math.ceil(whole.length / PART));
  });

  it('that is cancelled before anything was stored leaves nothing', async () => {
    const what = await plan();
    await expect(get(what, options({ signal: AbortSignal.abort() }))).rejects.toMatchObject({ name: 'AbortError' });
    await expectNothing();
  });

  it('survives a tab that closed while it wrote its journal', async () => {
    const what = await plan();
    const stop = new AbortController();
    const how = options({ signal: stop.signal });
    const closed = download(what, store, how, ({ done }) => done > 4 * PART && stop.abort());
    await expect(closed).rejects.toThrow();
    const journal = store.content.get(keyOf(what))!.get(JOURNAL)!;
    journal.truncate(journal.getSize() - 5);
    await get(what);
    expect(weightsOf(what).equals(whole)).toBe(true);
  });

  it('mends a part that arrived wrong', async () => {
    const what = await plan();
    await hub.faults({ corrupt: [{ path: WEIGHTS, offset: 3 * PART + 17, times: 1 }] });
    const progress = await get(what);
    expect(weightsOf(what).equals(whole)).toBe(true);
    expect(progress.some((p) => p.phase === 'mend')).toBe(true);
  });

  it('mends a part that arrived wrong from a server without ranges', async () => {
    const what = await plan();
    await hub.faults({ no_range: true, corrupt: [{ path: WEIGHTS, offset: 3 * PART + 17, times: 1 }] });
    await get(what);
    expect(weightsOf(what).equals(whole)).toBe(true);
  });

  it('fetches only the part that the storage changed', async () => {
    const what = await plan();
    let damaged = false;
    await get(what, options(), {
      push(at: Progress) {
        const file = store.content.get(keyOf(what))?.get(WEIGHTS);
        if (at.phase !== 'check' || damaged || !file) return;
        damaged = true;
        file.content[5 * PART + 3]! ^= 1;
      },
    } as unknown as Progress[]);
    expect(damaged).toBe(true);
    expect(weightsOf(what).equals(whole)).toBe(true);
    expect((await hub.weights()).length).toBe(Math.ceil(whole.length / PART) + 1);
  });

  it('that is wrong every time fails clearly and leaves nothing', async () => {
    const what = await plan();
    await hub.faults({ corrupt: [{ path: WEIGHTS, offset: 1_000_000 }] });
    const error = await failure(get(what));
    expect([error.code, error.message]).toEqual(['hash', expect.stringContaining(`${WEIGHTS} of ${REPO}`)]);
    await expectNothing();
  });

  it('that is what the hub states, and yet no model, fails clearly and leaves nothing', async () => {
    const [config, tokenizer] = await Promise.all(
      ['config.json', 'tokenizer.json'].map((name) => readFile(join(MODELS, 'tiny-neox', name))),
    );
    const files = { 'config.json': config!, 'tokenizer.json': tokenizer! };
    await hub.put('test/web-page', { ...files, [WEIGHTS]: '<!doctype html><p>Not found' });
    // Whole, and of another model than its configuration.
    await hub.put('test/mixed', { ...files, [WEIGHTS]: await readFile(join(MODELS, 'tiny-mamba', WEIGHTS)) });
    for (const [repo, why] of [
      ['test/web-page', 'no whole safetensors file'],
      ['test/mixed', 'not those of its config.json'],
    ]) {
      const error = await failure(get(await plan(repo)));
      expect([error.code, error.message]).toEqual(['model', expect.stringContaining(why!)]);
      await expectNothing();
    }
  });

  it('without room is refused before it begins', async () => {
    const what = await plan();
    await hub.reset();
    store = new MemoryStore(3_000_000);
    const error = await failure(get(what));
    expect(error.code).toBe('quota');
    expect(error.message).toMatch(/needs \d+\.\d MB, but this page may store only 3\.0 MB more/);
    expect(error.advice).toMatch(/free \d+\.\d MB more/);
    expect(await hub.log()).toEqual([]);
    await expectNothing();
  });

  it.each([false, true])('that finds less room than was said leaves nothing (silently: %s)', async (silent) => {
    const what = await plan();
    await hub.reset();
    store = new MemoryStore(1_500_000, 1e9);
    store.silent = silent;
    const error = await failure(get(what));
    expect([error.code, error.message]).toEqual(['quota', expect.stringContaining('finds no room')]);
    expect(await hub.weights()).toEqual([]);
    await expectNothing();
  });

  it.each([false, true])('that runs out of storage on its way leaves nothing (silently: %s)', async (silent) => {
    const what = await plan();
    store.silent = silent;
    const running = get(what, options(), {
      push: ({ done }: Progress) => {
        if (done > 5 * PART) store.quota = store.used;
      },
    } as unknown as Progress[]);
    expect((await failure(running)).code).toBe('quota');
    await expectNothing();
  });

  it('runs once at a time', async () => {
    const what = await plan();
    const first = get(what);
    expect((await failure(get(what))).code).toBe('busy');
    expect((await failure(remove(store, keyOf(what)))).code).toBe('busy');
    await first;
    await remove(store, keyOf(what));
    await expectNothing();
  });
});

describe('the list', () => {
  it('clears away what can be neither used nor gone on with', async () => {
    await store.alone('test--x@1', async (folder) => (await folder.open('config.json')).close());
    await store.alone('test--y@1', async (folder) => {
      const file = await folder.open(MANIFEST);
      file.write(new TextEncoder().encode('{"form":1,"pl'), { at: 0 });
      file.close();
    });
    expect((await list(store)).models).toEqual([]);
    await expectNothing();
  });
});
