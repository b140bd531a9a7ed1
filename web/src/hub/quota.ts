/** Whether there is room, asked first and said clearly. */
import { megabytes } from '../format';
import { HubError } from '../failure';

/** For the journal, the manifest, and what the browser counts beside the files. */
const BESIDE = 1 << 20;

interface Room {
  used: number;
  quota: number;
}

/**
 * Refuses what will not fit by what the browser says. Some say more than is true, so the files take their room next.
 */
export function checkRoom(repo: string, room: Room, bytes: number): void {
  if (room.quota > 0 && room.quota - room.used < bytes + BESIDE) throw noRoom(repo, room, bytes);
}

export function noRoom(repo: string, { used, quota }: Room, bytes: number): HubError {
  const free = Math.max(0, quota - used);
  const missing = bytes + BESIDE - free;
  const [room, more] =
    missing > 0
      ? [`may store only ${megabytes(free)} more`, `${megabytes(missing)} more`]
      : ['finds no room for it', 'as much'];
  const advice = `delete a stored model or free ${more} on the disk; nothing was kept of this one`;
  return new HubError('quota', `${repo} needs ${megabytes(bytes)}, but this page ${room}`, advice);
}
