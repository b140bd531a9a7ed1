/** Where a model is: a hub, a repository there, a revision of it. */
import { HubError } from '../failure';

export const DEFAULT_HUB = 'https://huggingface.co';

export interface Address {
  /** Address of the hub, without a slash at its end. */
  hub: string;
  /** `owner/name`. */
  repo: string;
  /** Branch, tag or commit. */
  revision: string;
}

/** A hub's address as a person or a link gives it. */
export function parseHub(text: string): string {
  const wrong = (why: string) =>
    new HubError('address', `${text || 'nothing'} is no address of a hub: ${why}`, `give one such as ${DEFAULT_HUB}`);
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    throw wrong('it must be a whole address');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw wrong('it must begin with https:// or http://');
  if (url.username || url.password) throw wrong('it must not hold a password');
  return (url.origin + url.pathname).replace(/\/+$/, '');
}

/** Whether `hub`, as `parseHub` gives it, is what a person means by `text`. */
export function isHub(hub: string, text: string): boolean {
  try {
    return parseHub(text) === hub;
  } catch {
    return false;
  }
}

/** `owner/name` or `owner/name@revision`. */
export function parseAddress(hub: string, text: string): Address {
  const match = /^([\w.-]+\/[\w.-]+)(?:@([^\s@]+))?$/.exec(text.trim());
  const [, repo, revision = 'main'] = match ?? [];
  if (!repo || /(^|\/)\.+(\/|$)/.test(`${repo}/${revision}`)) {
    const example = 'give owner/name or owner/name@revision, such as EleutherAI/pythia-160m';
    throw new HubError('address', `“${text}” is no name of a model on a hub`, example);
  }
  return { hub, repo, revision };
}

const encoded = (path: string) => path.split('/').map(encodeURIComponent).join('/');

/** What the hub says about a revision: its commit, its licence, its files with sizes and hashes. */
export const revisionUrl = ({ hub, repo, revision }: Address): string =>
  `${hub}/api/models/${encoded(repo)}/revision/${encodeURIComponent(revision)}?blobs=true`;

/** The content of a file of a commit. */
export const fileUrl = (at: { hub: string; repo: string; commit: string }, path: string): string =>
  `${at.hub}/${encoded(at.repo)}/resolve/${at.commit}/${encoded(path)}`;
