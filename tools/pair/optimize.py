"""The optimizer: Muon for the matrices inside the blocks, AdamW for everything else.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) makes all directions of a matrix's momentum
equally long before it steps. On a few million tokens these small models learn faster by it than by AdamW alone.
"""

import torch

MUON_RATE = 0.02
ADAM_RATE = 2e-3
MOMENTUM = 0.95
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1  # on matrices; embeddings, vectors, norms, A_log and D have none
CLIP = 1.0
# Not for Muon: tables of tokens, and thin matrices.
ADAM_NAMES = ("embed", "A_log", "x_proj", "dt_proj")


def orthogonal(matrix, rounds=5):
    """Newton-Schulz: the matrix with its singular values brought near 1."""
    x = matrix / (matrix.norm() + 1e-7)
    wide = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(rounds):
        square = wide @ wide.T
        wide = 3.4445 * wide + (2.0315 * square @ square - 4.7750 * square) @ wide
    return wide if wide.shape == x.shape else wide.T


class Muon(torch.optim.Optimizer):
    def __init__(self, matrices):
        super().__init__(matrices, {"lr": MUON_RATE})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for matrix in group["params"]:
                state = self.state[matrix]
                momentum = state.setdefault("momentum", torch.zeros_like(matrix))
                momentum.lerp_(matrix.grad, 1 - MOMENTUM)
                ahead = matrix.grad.lerp(momentum, MOMENTUM)
                tall = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                matrix.mul_(1 - group["lr"] * WEIGHT_DECAY)
                matrix.add_(orthogonal(ahead), alpha=-group["lr"] * tall)


class Optimizer:
    """Both together; `rate` scales the two rates."""

    def __init__(self, model):
        named = list(model.named_parameters())
        inner = [p for name, p in named if p.dim() == 2 and not any(part in name for part in ADAM_NAMES)]
        chosen = {id(p) for p in inner}
        rest = [p for _, p in named if id(p) not in chosen]
        self.parameters = [p for _, p in named]
        adam = torch.optim.AdamW(rest, lr=ADAM_RATE, betas=BETAS, weight_decay=0.0, fused=True)
        self.parts = {"muon": Muon(inner), "adam": adam}
        self.rates = {"muon": MUON_RATE, "adam": ADAM_RATE}

    def rate(self, scale):
        for name, part in self.parts.items():
            for group in part.param_groups:
                group["lr"] = scale * self.rates[name]

    def zero_grad(self):
        for part in self.parts.values():
            part.zero_grad()

    def step(self):
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        for part in self.parts.values():
            part.step()

    def state_dict(self):
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, states):
        for name, part in self.parts.items():
            part.load_state_dict(states[name])
