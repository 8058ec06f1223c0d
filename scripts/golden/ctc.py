#!/usr/bin/env python3
"""PyTorch's CTC loss and gradient in float64, for tests/golden/ctc.json.

    pip install torch numpy
    python scripts/golden/ctc.py [--out tests/golden/ctc.json]

A case: `logits` [T][B][V] (each fits a float32), `labels` one list an utterance (blank is 0, not
in them), `lengths` the frames of each utterance, `losses` minus log probability of each, and
`gradient` [T][B][V] of the SUM of the losses by the logits, log-softmax included; past an
utterance's end it is 0, whatever the logits there.
"""
import argparse
import json
import os
import platform

import numpy as np
import torch

SEED = 20261124
# name, classes, frames of each utterance, labels of each utterance
CASES = [
    ("plain", 6, [12], [[1, 3, 5, 2]]),
    ("repeats", 5, [14], [[2, 2, 1, 1, 1, 4]]),
    ("one_frame", 4, [1, 1], [[3], []]),
    ("empty_labels", 5, [7], [[]]),
    ("tight", 5, [5, 6, 1], [[1, 1, 2, 4], [3, 3, 3, 1], [2]]),  # T = labels + repeats
    ("unequal", 40, [25, 18, 9, 3, 21], [
        [7, 39, 1, 1, 20, 33, 5, 5], [12, 12, 12, 8], [31, 2, 2, 9], [], [39, 38, 39, 38, 1]]),
]


def case(name, classes, lengths, labels, rng):
    shape = (max(lengths), len(lengths), classes)
    x = (rng.standard_normal(shape) * 2.5).astype(np.float32)
    logits = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    losses = torch.nn.functional.ctc_loss(
        logits.log_softmax(-1), torch.tensor(sum(labels, []), dtype=torch.long),
        torch.tensor(lengths), torch.tensor([len(v) for v in labels]),
        blank=0, reduction="none", zero_infinity=False)
    losses.sum().backward()
    gradient = logits.grad
    assert torch.isfinite(losses).all()
    assert gradient.sum(-1).abs().max() < 1e-12
    assert all(not gradient[n:, b].any() for b, n in enumerate(lengths))
    for n, y in zip(lengths, labels):
        assert n >= len(y) + sum(p == q for p, q in zip(y, y[1:]))
    return {
        "name": name, "classes": classes, "lengths": lengths, "labels": labels,
        "logits": x.astype(float).tolist(), "losses": losses.tolist(),
        "gradient": gradient.tolist(),
    }


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--out", default="tests/golden/ctc.json")
    o = a.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    cases = [case(*c, rng) for c in CASES]
    golden = {
        "made_by": "scripts/golden/ctc.py", "seed": SEED, "torch": torch.__version__,
        "numpy": np.__version__, "python": platform.python_version(), "dtype": "float64",
        "blank": 0, "cases": cases,
    }
    os.makedirs(os.path.dirname(o.out) or ".", exist_ok=True)
    with open(o.out, "w", encoding="utf-8") as f:
        json.dump(golden, f)
        f.write("\n")
    print(o.out, os.path.getsize(o.out), "bytes,", len(cases), "cases")


if __name__ == "__main__":
    main()
