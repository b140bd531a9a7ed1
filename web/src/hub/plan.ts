/** What a download will fetch: decided, and refused, before the first byte of weights. */

/** A file and what the hub states about it. */
export interface HubFile {
  path: string;
  bytes: number;
  /** Of the content, or, for small files that git keeps itself, of the git object that holds it. */
  hash: { kind: 'sha256' | 'git-sha1'; hex: string };
}

/** What plans of a folder of this computer have instead of a hub. */
export const LOCAL = '';

export interface Plan {
  hub: string;
  repo: string;
  revision: string;
  commit: string;
  license: string;
  files: HubFile[];
}

/** Where a plan's files are kept. A commit names its content, so another revision with the same commit is the same. */
export const keyOf = ({ repo, commit }: Pick<Plan, 'repo' | 'commit'>): string =>
  `${repo.replace('/', '--')}@${commit}`;

export const bytesOf = (plan: Pick<Plan, 'files'>): number => plan.files.reduce((sum, file) => sum + file.bytes, 0);

/** Whether two plans put the same bytes in the same place. */
export const sameFiles = (a: Plan, b: Plan): boolean =>
  a.repo === b.repo && a.commit === b.commit && JSON.stringify(a.files) === JSON.stringify(b.files);

/** Sizes of a part that make sense (bytes). */
const [LEAST, MOST] = [16 << 10, 256 << 20];

/** The size of a part that a link asks for; nothing where it asks for none, or for what cannot be. */
export function partOf(text: string | null): number | undefined {
  const bytes = Number(text);
  return Number.isInteger(bytes) && bytes >= LEAST && bytes <= MOST ? bytes : undefined;
}

/** Whether what was read from a file has all that a plan needs. */
export function isPlan(value: unknown): value is Plan {
  const plan = value as Plan | undefined;
  const texts = [plan?.hub, plan?.repo, plan?.revision, plan?.commit, plan?.license];
  if (!texts.every((text) => typeof text === 'string') || !Array.isArray(plan?.files)) return false;
  return plan.files.every(
    (file) => typeof file?.path === 'string' && Number.isSafeInteger(file.bytes) && typeof file.hash?.hex === 'string',
  );
}
