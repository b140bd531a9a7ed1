import { untrack } from 'svelte';

/**
 * Keeps the focus where a person works when the control that has it makes way for another. Each time `state` changes:
 * if `held` said, just before the page changed, that the focus is on what goes, it moves to what `heir` gives.
 * Elsewhere it stays: nobody is called away from what they are reading.
 */
export function handOn(state: () => unknown, held: () => boolean, heir: () => HTMLElement | null | undefined): void {
  let before: unknown = untrack(state);
  let had = false;
  $effect.pre(() => {
    const now = state();
    if (now === before) return;
    before = now;
    had = untrack(held);
  });
  $effect(() => {
    state();
    if (had) untrack(heir)?.focus({ preventScroll: true });
    had = false;
  });
}

/** Whether the focus is in an element. */
export const within = (element: Element | null | undefined): boolean => !!element?.contains(document.activeElement);

/** Whether it is nowhere, as after a control that had it went away. */
export const nowhere = (): boolean => document.activeElement === null || document.activeElement === document.body;
