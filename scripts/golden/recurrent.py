#!/usr/bin/env python3
"""Recurrent layers in float64, forward and backward, for tests/golden/{lstm,lstmp,gru,elman,slstm}.json.

    pip install torch numpy
    python scripts/golden/recurrent.py [--out tests/golden]

Two bidirectional layers on a batch of unequal lengths: torch.nn.LSTM, GRU and RNN on a packed batch,
and the sLSTM (Beck et al. 2024, equations 8 to 17, forget gate σ), written here straight from its
equations without the stabiliser, which changes nothing but the range. `input` [T][B][F], `weights`
by PyTorch's names (its gates' order; sLSTM: i, f, z, o), `output` [T][B][2H] (forward, then
backward; 0 past each length), and `input_gradient`, `gradients` of sum(output * weighting). Input,
weights and weighting each fit a float32. Past an utterance's end the input is not 0, so that a
reader that runs on over the padding is found out; its gradient there is 0.
"""
import argparse
import json
import os
import platform

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SEED = 20261124
INPUT, LAYERS, LENGTHS = 5, 2, [9, 6, 6, 1]


class Packed(torch.nn.Module):
    """One of PyTorch's own layers."""

    def __init__(self, kind, hidden, **more):
        super().__init__()
        self.rnn = kind(INPUT, hidden, LAYERS, bidirectional=True, **more).double()

    def forward(self, x):
        packed = pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], total_length=len(x))[0]


class Slstm(torch.nn.Module):
    """The equations, one utterance and direction after the other."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden, self.rnn = hidden, torch.nn.ParameterDict()
        for layer in range(LAYERS):
            for suffix in ("", "_reverse"):
                inputs = INPUT if layer == 0 else 2 * hidden
                shapes = {"weight_ih": (4 * hidden, inputs), "weight_hh": (4 * hidden, hidden), "bias_ih": (4 * hidden,)}
                for kind, shape in shapes.items():
                    self.rnn[f"{kind}_l{layer}{suffix}"] = torch.zeros(shape, dtype=torch.float64)

    def run(self, x, name):
        """[T, F] to [T, H]."""
        w, r, b = (self.rnn[f"{kind}_{name}"] for kind in ("weight_ih", "weight_hh", "bias_ih"))
        h = c = n = x.new_zeros(self.hidden)
        out = []
        for frame in x:
            i, f, z, o = (w @ frame + b + r @ h).chunk(4)
            i, f, z, o = i.exp(), f.sigmoid(), z.tanh(), o.sigmoid()
            c, n = f * c + i * z, f * n + i
            h = o * c / n
            out.append(h)
        return torch.stack(out)

    def forward(self, x):
        columns = []
        for b, length in enumerate(LENGTHS):
            y = x[:length, b]
            for layer in range(LAYERS):
                ahead, back = self.run(y, f"l{layer}"), self.run(y.flip(0), f"l{layer}_reverse").flip(0)
                y = torch.cat([ahead, back], 1)
            columns.append(torch.nn.functional.pad(y, (0, 0, 0, len(x) - length)))
        return torch.stack(columns, 1)


NETS = {
    "lstm": (7, lambda h: Packed(torch.nn.LSTM, h)),
    "lstmp": (4, lambda h: Packed(torch.nn.LSTM, h, proj_size=3)),
    "gru": (4, lambda h: Packed(torch.nn.GRU, h)),
    "elman": (4, lambda h: Packed(torch.nn.RNN, h)),
    "slstm": (4, Slstm),
}


def random(rng, *shape):
    """Normal numbers that fit a float32, as float64."""
    return torch.tensor(rng.standard_normal(shape).astype(np.float32), dtype=torch.float64)


def golden(hidden, make):
    rng = np.random.default_rng(SEED)
    net = make(hidden)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((random(rng, *p.shape) * 0.5))
    frames, batch = max(LENGTHS), len(LENGTHS)
    x = random(rng, frames, batch, INPUT).requires_grad_()
    y = net(x)
    weighting = random(rng, *y.shape)
    (y * weighting).sum().backward()
    for b, n in enumerate(LENGTHS):
        assert not y[n:, b].any() and not x.grad[n:, b].any()
    names = {k.removeprefix("rnn."): p for k, p in net.named_parameters()}
    return {
        "made_by": "scripts/golden/recurrent.py", "seed": SEED, "torch": torch.__version__,
        "numpy": np.__version__, "python": platform.python_version(), "dtype": "float64",
        "input_size": INPUT, "hidden_size": hidden, "layers": LAYERS, "bidirectional": True,
        "lengths": LENGTHS, "input": x.tolist(),
        "weights": {k: p.tolist() for k, p in names.items()},
        "output": y.tolist(), "weighting": weighting.tolist(),
        "input_gradient": x.grad.tolist(),
        "gradients": {k: p.grad.tolist() for k, p in names.items()},
    }


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--out", default="tests/golden")
    o = a.parse_args()
    torch.set_num_threads(1)
    os.makedirs(o.out, exist_ok=True)
    for name, (hidden, make) in NETS.items():
        path = f"{o.out}/{name}.json"
        with open(path, "w", encoding="utf-8") as f:
            json.dump(golden(hidden, make), f)
            f.write("\n")
        print(path, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
