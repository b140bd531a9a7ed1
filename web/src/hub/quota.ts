/** Whether there is room, asked first and said clearly. */
import { megabytes } from '../format';
import { HubError } from './failure';

/** For the journal, the manifest, and what the browser counts beside the files. */
const BESIDE = 1 << 20;

interface Room {
  used: number;
  quota: number;
}

/** Refuses what will not fit. A browser that does not say is believed: the files take their room before any download. */
export function checkRoom(repo: string, room: Room, bytes: number): void {
  if (room.quota > 0 && room.quota - room.used < bytes + BESIDE) throw noRoom(repo, room, bytes);
}

export function noRoom(repo: string, { used, quota }: Room, bytes: number): HubError {
  const free = Math.max(0, quota - used);
  const missing = Math.max(0, bytes + BESIDE - free);
  const message = `${repo} needs ${megabytes(bytes)}, but this page may store only ${megabytes(free)} more`;
  const what = missing > 0 ? `${megabytes(missing)} more` : 'space';
  return new HubError('quota', message, `delete a stored model or free ${what} on the disk; nothing was kept of this one`);
}
