#!/usr/bin/env python3
"""Recurrent layers in float64, forward and backward, for tests/golden/{lstm,lstmp,gru,elman,slstm,mlstm}.json.

    pip install torch numpy
    python scripts/golden/recurrent.py [--out tests/golden]

Two bidirectional layers on a batch of unequal lengths: torch.nn.LSTM, GRU and RNN on a packed batch,
and sLSTM and mLSTM (Beck et al. 2024, equations 8 to 17 and 19 to 27, forget gate σ), written here
straight from their equations, frame by frame and without the stabiliser, which changes nothing but
the range. `input` [T][B][F], `weights` by PyTorch's names (its gates' order; sLSTM: i, f, z, o;
mLSTM, of two heads: q, k, v, o of all units, then i and f of each head), `output` [T][B][2H] (forward, then
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
INPUT, LAYERS = 5, 2


class Packed(torch.nn.Module):
    """One of PyTorch's own layers."""

    def __init__(self, kind, hidden, **more):
        super().__init__()
        self.rnn = kind(INPUT, hidden, LAYERS, bidirectional=True, **more).double()

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], total_length=len(x))[0]


class Equations(torch.nn.Module):
    """One utterance and direction after the other. A subclass has its weights' `shapes`, given the
    numbers of a frame, and `run(x, name)`, [T, F] to [T, H]."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden, self.rnn = hidden, torch.nn.ParameterDict()
        for layer in range(LAYERS):
            for suffix in ("", "_reverse"):
                for kind, shape in self.shapes(INPUT if layer == 0 else 2 * hidden).items():
                    self.rnn[f"{kind}_l{layer}{suffix}"] = torch.zeros(shape, dtype=torch.float64)

    def forward(self, x, lengths):
        columns = []
        for b, length in enumerate(lengths):
            y = x[:length, b]
            for layer in range(LAYERS):
                ahead, back = self.run(y, f"l{layer}"), self.run(y.flip(0), f"l{layer}_reverse").flip(0)
                y = torch.cat([ahead, back], 1)
            columns.append(torch.nn.functional.pad(y, (0, 0, 0, len(x) - length)))
        return torch.stack(columns, 1)


class Slstm(Equations):
    def shapes(self, inputs):
        rows = 4 * self.hidden
        return {"weight_ih": (rows, inputs), "weight_hh": (rows, self.hidden), "bias_ih": (rows,)}

    def run(self, x, name):
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


class Mlstm(Equations):
    heads = 2

    def shapes(self, inputs):
        rows = 4 * self.hidden + 2 * self.heads
        return {"weight_ih": (rows, inputs), "bias_ih": (rows,)}

    def run(self, x, name):
        w, b = self.rnn[f"weight_ih_{name}"], self.rnn[f"bias_ih_{name}"]
        size = self.hidden // self.heads
        c, n = x.new_zeros(self.heads, size, size), x.new_zeros(self.heads, size)
        out = []
        for frame in x:
            units, gates = (w @ frame + b).split([4 * self.hidden, 2 * self.heads])
            q, k, v, o = units.view(4, self.heads, size)
            i, f = gates.view(2, self.heads, 1)
            k, i, f = k / size ** 0.5, i.exp(), f.sigmoid()
            c = f[..., None] * c + i[..., None] * v[:, :, None] * k[:, None, :]
            n = f * n + i * k
            read, weight = (c * q[:, None, :]).sum(2), (n * q).sum(1, keepdim=True)
            out.append((o.sigmoid() * read / weight.abs().clamp(min=1)).flatten())
        return torch.stack(out)


# Units, network, lengths, and how large weights are. The mLSTM is worked on in chunks of frames: its longest utterance
# has two. Its exponential gates make it sensitive: with large weights, the order of a sum shows.
USUAL = [9, 6, 6, 1]
NETS = {
    "lstm": (7, lambda h: Packed(torch.nn.LSTM, h), USUAL, 0.5),
    "lstmp": (4, lambda h: Packed(torch.nn.LSTM, h, proj_size=3), USUAL, 0.5),
    "gru": (4, lambda h: Packed(torch.nn.GRU, h), USUAL, 0.5),
    "elman": (4, lambda h: Packed(torch.nn.RNN, h), USUAL, 0.5),
    "slstm": (4, Slstm, USUAL, 0.5),
    "mlstm": (4, Mlstm, [70, 3], 0.25),
}


def random(rng, *shape):
    """Normal numbers that fit a float32, as float64."""
    return torch.tensor(rng.standard_normal(shape).astype(np.float32), dtype=torch.float64)


def golden(hidden, make, lengths, size):
    rng = np.random.default_rng(SEED)
    net = make(hidden)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(random(rng, *p.shape) * size)
    frames, batch = max(lengths), len(lengths)
    x = random(rng, frames, batch, INPUT).requires_grad_()
    y = net(x, lengths)
    weighting = random(rng, *y.shape)
    (y * weighting).sum().backward()
    for b, n in enumerate(lengths):
        assert not y[n:, b].any() and not x.grad[n:, b].any()
    names = {k.removeprefix("rnn."): p for k, p in net.named_parameters()}
    return {
        "made_by": "scripts/golden/recurrent.py", "seed": SEED, "torch": torch.__version__,
        "numpy": np.__version__, "python": platform.python_version(), "dtype": "float64",
        "input_size": INPUT, "hidden_size": hidden, "layers": LAYERS, "bidirectional": True,
        "lengths": lengths, "input": x.tolist(),
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
    for name, net in NETS.items():
        path = f"{o.out}/{name}.json"
        with open(path, "w", encoding="utf-8") as f:
            json.dump(golden(*net), f)
            f.write("\n")
        print(path, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
