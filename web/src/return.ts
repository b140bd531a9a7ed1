/** Calls `look` when a person comes back to this tab: another may have changed what is stored. Returns how to stop. */
export function onReturn(look: () => void): () => void {
  const changed = () => {
    if (document.visibilityState === 'visible') look();
  };
  document.addEventListener('visibilitychange', changed);
  return () => document.removeEventListener('visibilitychange', changed);
}
