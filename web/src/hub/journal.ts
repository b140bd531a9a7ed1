/**
 * What a download has reached, kept beside its files: the plan on the first line, then one line for every part
 * that is stored. Lines are only added, each after its part is written, so a closed tab can at most leave a torn
 * last line, which counts for nothing. Neither is flushed to the disk: what a power cut takes away, the hash of the
 * whole file finds, and the part is fetched again.
 */
import { isPlan, sameFiles, type Plan } from './plan';
import { writeAll, type Folder, type StoredFile } from './store';

export const JOURNAL = 'journal.jsonl';
export const MANIFEST = 'manifest.json';

/** Of this form; anything else is not read. */
const FORM = 1;

interface Head {
  form: typeof FORM;
  part: number;
  plan: Plan;
}

/** A part that is stored: its file, its number there, the sha256 of what arrived. */
interface Stored {
  file: number;
  part: number;
  sha256: string;
}

export interface Reached {
  plan: Plan;
  /** Size of a part. */
  part: number;
  /** By file and part. */
  digests: Map<number, string>[];
}

/** Reads a journal; nothing when it is not one. */
export function parseJournal(text: string): Reached | undefined {
  const lines = text.split('\n');
  lines.pop(); // empty, or torn
  const head = parse<Head>(lines.shift() ?? '');
  if (head?.form !== FORM || !isPlan(head.plan) || !(head.part > 0)) return undefined;
  const digests = head.plan.files.map(() => new Map<number, string>());
  for (const line of lines) {
    const stored = parse<Stored>(line);
    if (!stored) break;
    digests[stored.file]?.set(stored.part, stored.sha256);
  }
  return { plan: head.plan, part: head.part, digests };
}

/** Bytes that a journal says are stored. */
export function bytesReached({ plan, part, digests }: Reached): number {
  const sizes = plan.files.map((file, f) =>
    [...digests[f]!.keys()].reduce((sum, p) => sum + Math.min(part, file.bytes - p * part), 0),
  );
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

/** An open journal. */
export class Journal {
  #end: number;

  private constructor(
    private readonly file: StoredFile,
    readonly reached: Reached,
    end: number,
  ) {
    this.#end = end;
  }

  /** Goes on with the journal of this plan, or begins one: whatever else is in the folder is then removed. */
  static async open(folder: Folder, plan: Plan, part: number): Promise<Journal> {
    const text = (await folder.text(JOURNAL)) ?? '';
    const known = parseJournal(text);
    if (known && sameFiles(known.plan, plan)) {
      const whole = new TextEncoder().encode(text.slice(0, text.lastIndexOf('\n') + 1)).length;
      return new Journal(await folder.open(JOURNAL), known, whole);
    }
    for (const name of await folder.names()) await folder.remove(name);
    const file = await folder.open(JOURNAL);
    const digests = plan.files.map(() => new Map<number, string>());
    const journal = new Journal(file, { plan, part, digests }, 0);
    journal.#append({ form: FORM, part, plan } satisfies Head);
    return journal;
  }

  /** A part is stored. */
  add(file: number, part: number, sha256: string): void {
    this.reached.digests[file]!.set(part, sha256);
    this.#append({ file, part, sha256 } satisfies Stored);
  }

  close(): void {
    this.file.close();
  }

  #append(line: object): void {
    const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
    writeAll(this.file, bytes, this.#end);
    this.#end += bytes.length;
    this.file.truncate(this.#end);
  }
}

/** What is in the folder of a model that is whole. */
export interface Manifest {
  form: typeof FORM;
  plan: Plan;
  /** When it was downloaded, ISO 8601. */
  date: string;
}

export function parseManifest(text: string): Manifest | undefined {
  const manifest = parse<Manifest>(text);
  return manifest?.form === FORM && isPlan(manifest.plan) ? manifest : undefined;
}

/** Says that a model is whole. Written in one go after everything else; half of it would not parse. */
export async function writeManifest(folder: Folder, plan: Plan): Promise<void> {
  const manifest: Manifest = { form: FORM, plan, date: new Date().toISOString() };
  const file = await folder.open(MANIFEST);
  try {
    const bytes = new TextEncoder().encode(JSON.stringify(manifest));
    file.truncate(0);
    writeAll(file, bytes, 0);
    file.flush();
  } finally {
    file.close();
  }
  await folder.remove(JOURNAL);
}

function parse<T>(line: string): T | undefined {
  try {
    return JSON.parse(line) as T;
  } catch {
    return undefined;
  }
}
