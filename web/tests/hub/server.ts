/** The local stand-in for the hub, over a folder made for the test. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const MODELS = fileURLToPath(new URL('../../../models', import.meta.url));

export interface Entry {
  method: string;
  path: string;
  range: string | null;
  status: number;
  bytes: number;
}

export interface Faults {
  cut?: { path: string; after: number; times?: number }[];
  corrupt?: { path: string; offset: number; times?: number }[];
  status?: { path: string; code: number; times?: number }[];
  no_range?: boolean;
  rate?: number;
  gated?: Record<string, string>;
  private?: Record<string, string>;
}

export class Server {
  private constructor(
    readonly url: string,
    readonly root: string,
    private readonly process: ChildProcess,
    private readonly own: boolean,
  ) {}

  /** Serves a folder, or an empty one of its own that goes with it. */
  static async start(root?: string): Promise<Server> {
    const program = process.env.HUB ?? fileURLToPath(new URL('../../../target/debug/hub', import.meta.url));
    if (!existsSync(program)) throw new Error(`${program} is missing; \`cargo build -p hub\` makes it`);
    const folder = root ?? (await mkdtemp(join(tmpdir(), 'hub-')));
    const child = spawn(program, [folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    const url = await new Promise<string>((resolve, reject) => {
      createInterface(child.stdout).once('line', (line) => resolve(/http:\S+/.exec(line)?.[0] ?? line));
      child.once('exit', (code) => reject(new Error(`the hub ended with ${code}`)));
    });
    return new Server(url, folder, child, !root);
  }

  async stop(): Promise<void> {
    this.process.kill();
    if (this.own) await rm(this.root, { recursive: true });
  }

  faults(faults: Faults): Promise<void> {
    return this.#post('_faults', faults);
  }

  reset(): Promise<void> {
    return this.#post('_reset', {});
  }

  async log(): Promise<Entry[]> {
    return (await fetch(`${this.url}/_log`)).json() as Promise<Entry[]>;
  }

  /** What was asked of the weights of a repository, and was answered with bytes of them. */
  async weights(): Promise<Entry[]> {
    return (await this.log()).filter(({ path }) => path.startsWith('/_cdn/') && path.endsWith('.safetensors'));
  }

  /** Puts files into a repository, `owner/name` or `owner/name@revision`. */
  async put(repo: string, files: Record<string, Uint8Array | string>): Promise<void> {
    for (const [path, content] of Object.entries(files)) {
      const place = join(this.root, repo, path);
      await mkdir(dirname(place), { recursive: true });
      await writeFile(place, content);
    }
  }

  /** A repository with one of the built-in models. */
  async putModel(repo: string, model = 'tiny-neox'): Promise<void> {
    for (const name of ['config.json', 'tokenizer.json', 'model.safetensors']) {
      await cp(join(MODELS, model, name), join(this.root, repo, name));
    }
  }

  /** The same in shards, with an index. */
  async putShards(repo: string, shards: number, model = 'tiny-neox'): Promise<void> {
    await this.putModel(repo, model);
    const whole = join(this.root, repo, 'model.safetensors');
    await this.put(repo, shardsOf(await readFile(whole), shards));
    await rm(whole);
  }

  async #post(path: string, body: object): Promise<void> {
    const response = await fetch(`${this.url}/${path}`, { method: 'POST', body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  }
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** Splits a safetensors file. */
function shardsOf(file: Buffer, shards: number): Record<string, Uint8Array | string> {
  const start = 8 + Number(file.readBigUInt64LE());
  const { __metadata__: _, ...header } = JSON.parse(file.toString('utf8', 8, start)) as Header;
  const names = Object.keys(header).sort((a, b) => header[a]!.data_offsets[0] - header[b]!.data_offsets[0]);
  const out: Record<string, Uint8Array | string> = {};
  const map: Record<string, string> = {};
  for (let s = 0; s < shards; s++) {
    const own = names.slice((s * names.length) / shards, ((s + 1) * names.length) / shards);
    const path = `model-0000${s + 1}-of-0000${shards}.safetensors`;
    const head: Header = {};
    const parts: Buffer[] = [];
    let at = 0;
    for (const name of own) {
      const tensor = header[name]!;
      const [from, to] = tensor.data_offsets;
      head[name] = { ...tensor, data_offsets: [at, at + to - from] };
      parts.push(file.subarray(start + from, start + to));
      at += to - from;
      map[name] = path;
    }
    const text = Buffer.from(JSON.stringify(head));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    out[path] = Buffer.concat([size, text, ...parts]);
  }
  out['model.safetensors.index.json'] = JSON.stringify({ metadata: {}, weight_map: map });
  return out;
}
