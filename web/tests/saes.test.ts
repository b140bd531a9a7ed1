/** SAEs in the browser's storage: whole, or not there. */
import type { TrainedSae } from 'mppc';
import { beforeEach, expect, it, vi } from 'vitest';
import { asFailure } from '../src/failure';
import { keepSae, listSaes, removeSae, saeFile, sweepSaes } from '../src/engine/saes';
import { Disk } from './directories';

let disk: Disk;
beforeEach(() => {
  disk = new Disk();
  vi.stubGlobal('navigator', disk.navigator);
  return () => vi.unstubAllGlobals();
});

const NAME = 'tiny-neox blocks.1.hook_resid_post TopK';
const sae = (text: string): TrainedSae =>
  ({
    hook: 'blocks.1.hook_resid_post',
    recipe: 'TopK',
    config: `{"of":"${text}"}`,
    weights: new TextEncoder().encode(text),
  }) as TrainedSae;
const content = async () => [
  await (await saeFile(NAME, 'cfg.json')).text(),
  await (await saeFile(NAME, 'sae_weights.safetensors')).text(),
];

it('one that is kept is listed, and replaced by the next of its name', async () => {
  expect(await listSaes()).toEqual([]);
  await keepSae('tiny-neox', sae('first'));
  await keepSae('tiny-neox', sae('second'));
  expect(await listSaes()).toEqual([NAME]);
  expect(await content()).toEqual(['{"of":"second"}', 'second']);
});

it.each([0, 1])('one of which only %i files could be written is neither listed nor left', async (writes) => {
  disk.allow(writes);
  const error: unknown = await keepSae('tiny-neox', sae('first')).catch((e: unknown) => e);
  expect(asFailure(error).code).toBe('quota');
  expect(await listSaes()).toEqual([]);
  const folder = await disk.root.getDirectoryHandle('saes');
  for await (const [name] of folder.entries()) expect.unreachable(name);
});

it('one whose successor does not fit stays as it was', async () => {
  await keepSae('tiny-neox', sae('first'));
  disk.allow(0);
  await expect(keepSae('tiny-neox', sae('second'))).rejects.toThrow();
  expect(await listSaes()).toEqual([NAME]);
  expect(await content()).toEqual(['{"of":"first"}', 'first']);
});

it('what a closed tab left half written is not listed, and is swept away', async () => {
  await keepSae('tiny-neox', sae('first'));
  const folder = await disk.root.getDirectoryHandle('saes');
  const half = await folder.getDirectoryHandle('half', { create: true });
  await half.getFileHandle('sae_weights.safetensors', { create: true });
  expect(await listSaes()).toEqual([NAME]);
  await sweepSaes();
  await expect(folder.getDirectoryHandle('half')).rejects.toThrow();
  expect(await listSaes()).toEqual([NAME]);
});

it('one that another tab has removed is gone as well', async () => {
  await keepSae('tiny-neox', sae('first'));
  await removeSae(NAME);
  await removeSae(NAME);
  expect(await listSaes()).toEqual([]);
  expect(asFailure(await saeFile(NAME, 'cfg.json').catch((e: unknown) => e)).code).toBe('file');
});

it('a browser that refuses storage is told of in one line', async () => {
  for (const storage of [
    undefined,
    {},
    { getDirectory: () => Promise.reject(new DOMException('insecure', 'SecurityError')) },
  ]) {
    vi.stubGlobal('navigator', { storage });
    expect(asFailure(await listSaes().catch((e: unknown) => e))).toMatchObject({
      code: 'storage',
      advice: expect.stringContaining('private'),
    });
  }
});
