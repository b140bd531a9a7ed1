/** The models a card can take: those that come with the page, and those of the browser's storage. */
import type { ModelRef } from './engine/messages';
import type { StoredModel } from './hub/stored';

export interface Choice {
  value: string;
  label: string;
  model: ModelRef;
}

export const choicesOf = (builtin: string[], stored: StoredModel[]): Choice[] => [
  ...builtin.map((name) => ({ value: name, label: `${name} (comes with the page)`, model: { name } })),
  ...stored.map(({ key, plan }) => ({
    value: key,
    label: `${plan.repo} (${plan.commit.slice(0, 7)})`,
    model: { name: plan.repo, stored: key },
  })),
];

/** The model that is chosen; the first one where nothing is. */
export const chosenOf = (choices: Choice[], value: string): ModelRef | undefined =>
  (choices.find((choice) => choice.value === value) ?? choices[0])?.model;
