/** Kinds of SAE that can be trained here: what each is made sparse by, and a number to begin with. */
import type { SaeKind } from 'mppc';

export const KINDS = {
  topk: { name: 'TopK', number: 'Features a token keeps', start: 32, make: (k: number): SaeKind => ({ TopK: { k } }) },
  batchtopk: {
    name: 'BatchTopK',
    number: 'Features a token keeps on average',
    start: 32,
    make: (k: number): SaeKind => ({ BatchTopK: { k } }),
  },
  jumprelu: {
    name: 'JumpReLU',
    number: 'What an active feature costs (share of the variance)',
    start: 0.002,
    make: (l0: number): SaeKind => ({ JumpRelu: { l0 } }),
  },
  gated: {
    name: 'Gated',
    number: 'Weight of the penalty on the gates',
    start: 0.02,
    make: (l1: number): SaeKind => ({ Gated: { l1 } }),
  },
  l1: {
    name: 'ReLU with an L1 penalty (the paper)',
    number: 'Weight λ of the penalty',
    start: 0.003,
    make: (l1: number): SaeKind => ({ Relu: { l1 } }),
  },
};
export type Kind = keyof typeof KINDS;
