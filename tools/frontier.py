"""How good SAEs are that the lab trains, beside those of SAELens and dictionary_learning on the same tokens.

    python tools/frontier.py MPPC FOLDER [--tokens N] > ROWS
    python tools/frontier.py --table ROWS

MPPC is the command line (`cargo build --release -p mppc`), FOLDER takes what comes up: a corpus, its activations, SAEs.
All learn from the same documents of the built-in corpus, at one hook of an embedded model, in batches of 1,024 for as many
steps, with Adam under a rate that rises over 5 % of the steps and falls over the last 20 %. Each trainer gets the same
rates, and its best counts; TopK gets three seeds at the rate that is best for all. All are then measured by one command,
`mppc sae health`, on other documents. Prints rows of JSON; `benches/runs/` has a run of it, BENCHMARKS.md the tables that
`--table` makes of it.
"""

import argparse
import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment
from tokenizers import Tokenizer

BATCH, FEATURES, CONTEXT = 1024, 1024, 256
KS = [8, 16, 32, 64]
RATES = [1e-3, 3e-3, 1e-2]
# TopK's best, for every trainer.
BEST = 1e-2
# Penalties that span some 5 to 100 active features; each trainer has its own unit.
OURS_L1 = [0.00025, 0.00035, 0.0005, 0.001, 0.002, 0.003]
SAELENS_L1 = [0.3, 0.5, 1.0, 2.0, 4.0, 8.0]
JUMPRELU = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008]
GATED = [0.005, 0.01, 0.02, 0.04]


class Place:
    """A hook of a model, and the activations there."""

    def __init__(self, mppc, root, folder, model, hook, tokens):
        self.mppc, self.model, self.hook, self.tokens = mppc, model, hook, tokens
        self.folder = folder / model
        self.folder.mkdir(parents=True, exist_ok=True)
        self.corpus = self.folder / "documents.jsonl"
        saved = self.folder / "activations.safetensors"
        if not saved.is_file():
            self.save(root, saved)
        self.activations = load_file(saved)[hook].reshape(-1, CONTEXT, 128)[:, 1:].reshape(-1, 128)[:tokens].clone()
        self.order = torch.randperm(len(self.activations), generator=torch.Generator().manual_seed(0))

    def save(self, root, saved):
        tokenizer = Tokenizer.from_file(str(root / "models" / self.model / "tokenizer.json"))
        wanted = -(-self.tokens // (CONTEXT - 1))
        made = self.run("corpus", "--documents", str(2 * wanted), "--seed", "1")
        documents, rows = [], []
        for line in made.splitlines():
            ids = tokenizer.encode(json.loads(line)["text"], add_special_tokens=False).ids
            # Whole contexts only, so that nobody has to agree on padding.
            if len(ids) >= CONTEXT - 1 and 0 not in ids[: CONTEXT - 1] and len(rows) < wanted:
                documents.append(json.dumps({"text": json.loads(line)["text"]}))
                rows.append([0] + ids[: CONTEXT - 1])
        if len(rows) < wanted:
            sys.exit(f"error: only {len(rows)} of {wanted} documents are long enough; ask for more of them")
        self.corpus.write_text("\n".join(documents) + "\n")
        prompts = self.folder / "prompts.json"
        prompts.write_text(json.dumps(rows))
        self.run("run", self.model, "--tokens", str(prompts), "--hook", self.hook, "--save", str(saved), "--engine", "cpu")

    def run(self, *args):
        return subprocess.run([self.mppc, *args], check=True, stdout=subprocess.PIPE, text=True).stdout

    def batches(self):
        """All tokens once, in random order."""
        for start in range(0, len(self.order) - BATCH + 1, BATCH):
            yield self.activations[self.order[start : start + BATCH]]

    def health(self, saes):
        told = self.run("sae", "health", self.model, "--saes", str(saes), "--seed", "7", "--engine", "cpu", "--json")
        return json.loads(told)["saes"][0]["health"]

    def tell(self, trainer, kind, number, rate, saes, seed=1):
        health = self.health(saes)
        row = {"model": self.model, "hook": self.hook, "trainer": trainer, "kind": kind, "number": number}
        row |= {"lr": rate, "seed": seed}
        figures = {name: health[name] for name in ["l0", "explained_variance", "mse", "dead"]}
        figures |= {name: health["spliced"][name] for name in ["ce_recovered", "kl_spliced"]}
        print(json.dumps(row | figures), flush=True)


def ours(place, flag, numbers, rate, more=(), name="mppc", seeds=(1,)):
    save = place.folder / f"{name}-{flag}-{rate}{'-seeds' * (len(seeds) > 1)}"
    train_ours(place, flag, numbers, rate, save, more, seeds)
    for number in numbers:
        for seed in seeds:
            several = len(numbers) > 1 or len(seeds) > 1
            one = save / f"{flag}-{number:g}-seed{seed}" if several else save
            place.tell(name, flag, number, rate, one, seed)


def train_ours(place, flag, numbers, rate, save, more=(), seeds=(1,)):
    if save.is_dir():
        return
    args = ["sae", "train", place.model, "--hook", place.hook, "--corpus", str(place.corpus), "--engine", "cpu"]
    args += ["--features", str(FEATURES), "--tokens", str(len(place.order)), "--batch", str(BATCH)]
    args += ["--context", str(CONTEXT), "--lr", str(rate), f"--{flag}", ",".join(map(str, numbers)), *more]
    place.run(*args, "--sae-seeds", ",".join(map(str, seeds)), "--save", str(save))


def saelens(place, kind, number, rate, seed=1):
    # Whatever it prints of itself is no row.
    with contextlib.redirect_stdout(sys.stderr):
        save = train_saelens(place, kind, number, rate, seed)
    place.tell("SAELens", kind, number, rate, save, seed)


def of_seed(seed):
    return f"-seed{seed}" if seed != 1 else ""


def train_saelens(place, kind, number, rate, seed):
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(seed)
    save = place.folder / f"saelens-{kind}-{number}-{rate}{of_seed(seed)}" / place.hook
    steps = len(place.order) // BATCH
    if not save.is_dir():
        usual = {"d_in": 128, "d_sae": FEATURES, "normalize_activations": "expected_average_only_in"}
        usual["metadata"] = SAEMetadata(model_name=place.model, hook_name=place.hook)
        if kind == "topk":
            sae = TopKTrainingSAE(TopKTrainingSAEConfig(k=number, **usual))
        else:
            config = StandardTrainingSAEConfig(l1_coefficient=number, l1_warm_up_steps=steps // 10, **usual)
            sae = StandardTrainingSAE(config)
        config = SAETrainerConfig(
            total_training_samples=steps * BATCH,
            train_batch_size_samples=BATCH,
            lr=rate,
            lr_end=rate / 10,
            lr_warm_up_steps=steps // 20,
            lr_decay_steps=steps // 5,
            dead_feature_window=200,
            n_batches_for_norm_estimate=100,
        )

        def provider():
            while True:
                yield from place.batches()

        trained = SAETrainer(config, sae, provider()).fit()
        trained.save_inference_model(str(save))
    return save.parent


def dictionary_learning(place, k, rate, seed=1):
    from dictionary_learning.trainers.top_k import TopKTrainer

    save = place.folder / f"dictionary_learning-topk-{k}-{rate}{of_seed(seed)}" / place.hook
    steps = len(place.order) // BATCH
    if not save.is_dir():
        trainer = TopKTrainer(
            steps=steps, activation_dim=128, dict_size=FEATURES, k=k, layer=1, lm_name=place.model, lr=rate,
            warmup_steps=steps // 20, decay_start=steps - steps // 5, seed=seed, device="cpu",
        )  # fmt: skip
        for step, x in enumerate(place.batches()):
            trainer.update(step, x)
        save.mkdir(parents=True)
        torch.save(trainer.ae.state_dict(), save / "ae.pt")
        (save / "config.json").write_text(json.dumps({"trainer": trainer.config}, default=str))
        convert = Path(__file__).with_name("convert_dictionary_learning.py")
        subprocess.run([sys.executable, convert, save], check=True)
    place.tell("dictionary_learning", "topk", k, rate, save.parent, seed)


def decoder(folder):
    with safe_open(next(folder.rglob("sae_weights.safetensors")), "pt") as file:
        rows = file.get_tensor("W_dec").float()
    return (rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)).numpy()


def seeds(place):
    """How many features two seeds share: best one-to-one match by cosine of the decoder's rows."""
    save = place.folder / "seeds"
    train_ours(place, "topk", [32], 3e-3, save, seeds=(1, 2))
    cosine = decoder(save / "topk-32-seed1") @ decoder(save / "topk-32-seed2").T
    ours, theirs = linear_sum_assignment(-cosine)
    matched = cosine[ours, theirs]
    best = cosine.argmax(1)
    mutual = float((cosine.argmax(0)[best] == np.arange(len(best))).mean())
    shares = {f"above_{t}": float((matched > t).mean()) for t in [0.7, 0.8, 0.9]}
    row = {"model": place.model, "hook": place.hook, "trainer": "mppc", "kind": "two seeds", "number": 32}
    print(json.dumps(row | {"median_cosine": float(np.median(matched)), "mutual_best": mutual} | shares), flush=True)


def at_l0(rows, l0, figure):
    """A figure at this L0, on the line between the neighbours by the logarithm of L0; nothing beyond them."""
    points = sorted((row["l0"], row[figure]) for row in rows if row["l0"] > 0)
    if not points or not points[0][0] <= l0 <= points[-1][0]:
        return None
    return float(np.interp(np.log(l0), np.log([p[0] for p in points]), [p[1] for p in points]))


def cell(value):
    return "–" if value is None else f"{value:.3f}"


def best_of(rows, kind, k):
    """Explained variance and share of the loss recovered at L0 k, at the rate that explains most; means over seeds."""
    best = None, None
    for rate in {row["lr"] for row in rows}:
        line = [row for row in rows if row["lr"] == rate]
        # A fixed k needs no line between neighbours.
        exact = [row for row in line if kind == "topk" and row["number"] == k]
        one = [row for row in line if row["seed"] == 1]
        figures = []
        for figure in ["explained_variance", "ce_recovered"]:
            figures.append(float(np.mean([row[figure] for row in exact])) if exact else at_l0(one, k, figure))
        if figures[0] is not None and (best[0] is None or figures[0] > best[0]):
            best = figures
    return best


def frontier(rows):
    print("| trainer | kind | " + " | ".join(f"L0 {k}" for k in KS) + " |")
    print("|---|---|" + "--:|" * len(KS))
    for trainer, kind in {(row["trainer"], row["kind"]): None for row in rows}:
        own = [row for row in rows if (row["trainer"], row["kind"]) == (trainer, kind)]
        cells = [" · ".join(map(cell, best_of(own, kind, k))) for k in KS]
        print(f"| {trainer} | {kind} | " + " | ".join(cells) + " |")


def spread(rows):
    """Of TopK with several seeds: mean and standard deviation of the explained variance, and dead features."""
    several = [row for row in rows if row["kind"] == "topk" and row["lr"] == BEST]
    if not any(row["seed"] > 1 for row in several):
        return
    print(f"\n| rate {BEST}, three seeds | " + " | ".join(f"k = {k}" for k in KS) + " |")
    print("|---|" + "--:|" * len(KS))
    for trainer in {row["trainer"]: None for row in several}:
        cells = []
        for k in KS:
            own = [row for row in several if (row["trainer"], row["number"]) == (trainer, k)]
            values, dead = [row["explained_variance"] for row in own], np.mean([row["dead"] for row in own])
            cells.append(f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} ({100 * dead:.0f} % dead)")
        print(f"| {trainer} | " + " | ".join(cells) + " |")


def table(path):
    """The rows of a run as Markdown."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    for model, hook in {(row["model"], row["hook"]): None for row in rows}:
        print(f"\n**{model}, `{hook}`**\n")
        own = [row for row in rows if row["model"] == model and "l0" in row and "dead features" not in row["trainer"]]
        frontier(own)
        spread(own)
    print("\n| dead features | kind | rate | L0 | explained variance | dead |\n|---|---|--:|--:|--:|--:|")
    for row in rows:
        if "dead features" in row["trainer"]:
            how = row["trainer"].removeprefix("mppc, dead features ")
            figures = f"{row['l0']:.1f} | {row['explained_variance']:.3f} | {100 * row['dead']:.1f} %"
            print(f"| {how} | {row['kind']} {row['number']} | {row['lr']} | {figures} |")
    for row in rows:
        if row["kind"] == "two seeds":
            shares = ", ".join(f"{100 * row[f'above_{t}']:.0f} % above {t}" for t in [0.7, 0.8, 0.9])
            print(f"\nTwo seeds, one-to-one: median cosine {row['median_cosine']:.2f}; {shares}; ", end="")
            print(f"{100 * row['mutual_best']:.0f} % are each other's best.")


def compare(place, rates, l1_rates, seeds):
    """TopK and l1, ours beside the others'."""
    for rate in rates:
        some = seeds if rate == BEST else seeds[:1]
        ours(place, "topk", KS, rate, seeds=some)
        for k in KS:
            for seed in some:
                saelens(place, "topk", k, rate, seed)
                dictionary_learning(place, k, rate, seed)
    for rate in l1_rates:
        ours(place, "l1", OURS_L1, rate)
        tuned = ["--fine-tune", str(place.tokens // 5)]
        ours(place, "l1", OURS_L1, rate, tuned, "mppc, the last fifth fine-tuning")
        for number in SAELENS_L1:
            saelens(place, "l1", number, rate)


def main():
    if sys.argv[1:2] == ["--table"] and len(sys.argv) == 3:
        return table(Path(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mppc", help="the command line of the lab")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=1_024_000)
    args = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    place = Place(args.mppc, root, args.folder, "tiny-neox", "blocks.1.hook_resid_post", args.tokens)
    compare(place, RATES, [*RATES, 3e-2], (1, 2, 3))
    for rate in RATES[1:]:
        ours(place, "batchtopk", KS, rate)
        ours(place, "jumprelu", JUMPRELU, rate)
        ours(place, "gated", GATED, rate)
    for flag, number in [("topk", 32), ("l1", 0.003), ("jumprelu", 0.002)]:
        ours(place, flag, [number], BEST, name="mppc, dead features helped")
        ours(place, flag, [number], BEST, ["--no-revive"], "mppc, dead features left alone")
    seeds(place)
    mamba = Place(args.mppc, root, args.folder, "tiny-mamba", "blocks.3.hook_resid_post", args.tokens)
    compare(mamba, RATES[1:], RATES[1:], (1,))


if __name__ == "__main__":
    main()
