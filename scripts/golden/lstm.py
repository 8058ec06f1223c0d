#!/usr/bin/env python3
"""torch.nn.LSTM in float64, forward and backward, for tests/golden/lstm.json.

    pip install torch numpy
    python scripts/golden/lstm.py [--out tests/golden/lstm.json]

Two bidirectional layers on a packed batch of unequal lengths. `input` [T][B][F], `weights` by
PyTorch's names (gates in its order i, f, g, o; b_ih and b_hh both), `output` [T][B][2H] (forward,
then backward; 0 past each length), and `input_gradient`, `gradients` of sum(output * weighting).
Input, weights and weighting each fit a float32. Past an utterance's end the input is not 0, so
that a reader that runs on over the padding is found out; its gradient there is 0.
"""
import argparse
import json
import os
import platform

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SEED = 20261124
INPUT, HIDDEN, LAYERS, LENGTHS = 5, 7, 2, [9, 6, 6, 1]


def random(rng, *shape):
    """Normal numbers that fit a float32, as float64."""
    return torch.tensor(rng.standard_normal(shape).astype(np.float32), dtype=torch.float64)


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--out", default="tests/golden/lstm.json")
    o = a.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    net = torch.nn.LSTM(INPUT, HIDDEN, LAYERS, bidirectional=True).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((random(rng, *p.shape) * 0.5))
    frames, batch = max(LENGTHS), len(LENGTHS)
    x = random(rng, frames, batch, INPUT).requires_grad_()
    weighting = random(rng, frames, batch, 2 * HIDDEN)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
    y, lengths = pad_packed_sequence(net(packed)[0], total_length=frames)
    (y * weighting).sum().backward()
    assert lengths.tolist() == LENGTHS
    for b, n in enumerate(LENGTHS):
        assert not y[n:, b].any() and not x.grad[n:, b].any()
    golden = {
        "made_by": "scripts/golden/lstm.py", "seed": SEED, "torch": torch.__version__,
        "numpy": np.__version__, "python": platform.python_version(), "dtype": "float64",
        "input_size": INPUT, "hidden_size": HIDDEN, "layers": LAYERS, "bidirectional": True,
        "lengths": LENGTHS, "input": x.tolist(),
        "weights": {k: p.tolist() for k, p in net.named_parameters()},
        "output": y.tolist(), "weighting": weighting.tolist(),
        "input_gradient": x.grad.tolist(),
        "gradients": {k: p.grad.tolist() for k, p in net.named_parameters()},
    }
    os.makedirs(os.path.dirname(o.out) or ".", exist_ok=True)
    with open(o.out, "w", encoding="utf-8") as f:
        json.dump(golden, f)
        f.write("\n")
    print(o.out, os.path.getsize(o.out), "bytes,", len(golden["weights"]), "weights")


if __name__ == "__main__":
    main()
