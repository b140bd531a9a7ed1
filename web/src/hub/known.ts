/** Models people may want, from the list that the command line uses, too. */
import list from '../../../models/known.json';
import { architectures } from './architectures';

export interface Known {
  alias: string;
  repo: string;
  revision?: string;
  about: string;
  bytes: number;
}

interface Listed extends Partial<Known> {
  kind: string;
  /** What to take instead, for what cannot be used as it is. */
  instead?: string;
}

/** Larger ones are for the command line: WebAssembly addresses 4 GiB. */
const LARGEST = 3.5e9;

export const known = (list as Listed[]).filter(
  ({ kind, instead, bytes }) =>
    architectures.some(({ model_type }) => model_type === kind) && !instead && bytes && bytes <= LARGEST,
) as Known[];

/** How a known model is asked for on a hub. */
export const addressOf = ({ repo, revision }: Known): string => (revision ? `${repo}@${revision}` : repo);

/** What is asked for: a short name of the list stands for its repository. */
export function expand(text: string): string {
  const model = known.find(({ alias }) => alias === text.trim());
  return model ? addressOf(model) : text;
}
