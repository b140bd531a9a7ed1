/** Folders of this computer are looked into before anything of them is called a model. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { HubError } from '../../src/failure';
import { planFolder } from '../../src/hub/local';
import { MODELS } from './server';

type Files = Record<string, Buffer>;
const NAMES = ['config.json', 'tokenizer.json', 'model.safetensors'];
const WEIGHTS = 'model.safetensors';

const folders: Record<string, Files> = {};

beforeAll(async () => {
  for (const model of ['tiny-neox', 'tiny-mamba']) {
    const files = await Promise.all(
      NAMES.map(async (name) => [name, await readFile(join(MODELS, model, name))] as const),
    );
    folders[model] = Object.fromEntries(files);
  }
});

const plan = (files: Files) =>
  planFolder('here', new Map(Object.entries(files).map(([name, bytes]) => [name, new Blob([new Uint8Array(bytes)])])));

async function refused(files: Files): Promise<string> {
  const error = await plan(files).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(HubError);
  const { code, advice, message } = error as HubError;
  expect(code).toBe('model');
  expect(advice).not.toBe('');
  return message;
}

const neox = (): Files => ({ ...folders['tiny-neox']! });
const config = (files: Files, change: object): Files => {
  const told = { ...(JSON.parse(files['config.json']!.toString()) as object), ...change };
  return { ...files, 'config.json': Buffer.from(JSON.stringify(told)) };
};
/** The weights with another header. */
function header(
  files: Files,
  change: (header: Record<string, { shape: number[]; data_offsets: number[] }>) => void,
): Files {
  const file = files[WEIGHTS]!;
  const start = 8 + Number(file.readBigUInt64LE());
  const told = JSON.parse(file.toString('utf8', 8, start));
  change(told);
  const text = Buffer.from(JSON.stringify(told));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return { ...files, [WEIGHTS]: Buffer.concat([size, text, file.subarray(start)]) };
}

describe('a folder', () => {
  it.each(['tiny-neox', 'tiny-mamba'])('with %s is taken, with or without a prefix to its names', async (model) => {
    const files = folders[model]!;
    expect((await plan(files)).files.map(({ path }) => path).sort()).toEqual([...NAMES].sort());
    const bare = header(files, (told) => {
      for (const name of Object.keys(told)) {
        const short = name.replace(/^(gpt_neox|backbone)\./, '');
        if (short !== name) [told[short], told[name]] = [told[name]!, undefined as never];
      }
    });
    await plan(bare);
  });

  it('of random bytes is no model', async () => {
    // A generator of its own, so that the bytes are the same each time.
    let state = 1;
    const random = (bytes: number) =>
      Buffer.from(Array.from({ length: bytes }, () => (state = (state * 48271) % 2147483647) & 255));
    for (const bytes of [0, 1, 7, 8, 9, 1000, 1_000_000]) {
      expect(await refused({ ...neox(), [WEIGHTS]: random(bytes) })).toContain(
        `${WEIGHTS} of here is no whole safetensors file`,
      );
    }
    expect(await refused({ ...neox(), 'tokenizer.json': random(1000) })).toContain('tokenizer.json');
    expect(await refused({ ...neox(), 'config.json': random(1000) })).toContain('config.json');
  });

  it('whose weights are cut short, or go on too long, is no model', async () => {
    const whole = neox()[WEIGHTS]!;
    for (const bytes of [8, 100, 5000, whole.length - 1]) {
      expect(await refused({ ...neox(), [WEIGHTS]: whole.subarray(0, bytes) })).toContain('no whole safetensors file');
    }
    expect(await refused({ ...neox(), [WEIGHTS]: Buffer.concat([whole, Buffer.alloc(1)]) })).toContain('end at byte');
  });

  it.each<[string, Parameters<typeof header>[1]]>([
    ['a shape that its bytes do not have', (told) => (told['embed_out.weight']!.shape = [1024, 129])],
    ['a shape that is negative', (told) => (told['embed_out.weight']!.shape = [-1024, -128])],
    ['offsets beyond the end', (told) => (told['embed_out.weight']!.data_offsets = [0, 2 ** 40])],
    ['offsets that are no numbers', (told) => (told['embed_out.weight']!.data_offsets = ['0', null] as never)],
    ['nothing for a tensor', (told) => (told['embed_out.weight'] = null as never)],
  ])('with %s in the header is no model', async (_, change) => {
    expect(await refused(header(neox(), change))).toContain('embed_out.weight does not fit');
  });

  it.each<[string, object]>([
    ['width', { hidden_size: 64 }],
    ['number of layers', { num_hidden_layers: 2 ** 40 }],
    ['vocabulary', { vocab_size: 4096 }],
  ])('with another %s in its config.json is not one model', async (_, change) => {
    expect(await refused(config(neox(), change))).toContain('are not those of its config.json');
  });

  it.each([-1, 0, 1.5, 'x', null, [1]])('with hidden_size %j is no model', async (hidden_size) => {
    expect(await refused(config(neox(), { hidden_size }))).toContain(`says hidden_size ${JSON.stringify(hidden_size)}`);
  });

  it('with the weights of another kind of model is not one', async () => {
    for (const [one, other] of [
      ['tiny-neox', 'tiny-mamba'],
      ['tiny-mamba', 'tiny-neox'],
    ] as const) {
      const mixed = { ...folders[one]!, 'config.json': folders[other]!['config.json']! };
      expect(await refused(mixed)).toMatch(/layers are told, but there is no (mixer|attention) of layer 0/);
    }
  });

  it('with a tokenizer that is JSON and no tokenizer is no model', async () => {
    expect(await refused({ ...neox(), 'tokenizer.json': Buffer.from('{"model": null}') })).toContain(
      'holds no tokenizer',
    );
    expect(await refused({ ...neox(), 'tokenizer.json': Buffer.from('[]') })).toContain('is no JSON object');
  });
});
