#!/usr/bin/env python3
"""A PyTorch twin of formant's plain recipe, to hold formant against.

    pip install torch numpy soundfile kaldi-native-fbank
    python scripts/peers/torch_twin.py --data DIR --out OUT [--epochs 14] [--threads 1] [--seed 1]
                                       [--limit N] [--json FILE]

DIR holds train, dev and test.manifest.tsv (path, phones). The set-up: 40 log-mel bins
(kaldi-native-fbank, Kaldi's defaults, no dither) with two orders of derivatives, mean and variance
of the training set, two frames stacked (an odd last one twice, as formant does), three
bidirectional LSTMs of 250, CTC over 39 phones, Adam 1e-3, clipping at norm 5, batches of 16 of
similar length in random order, no augmentation, no dropout. Greedy; PER folded (ao=aa, zh=sh).

Prints a JSON line an epoch, and at the end the test PER of the epoch that was best on dev. OUT
keeps state.pt, so that a stopped run goes on where it was, and result.json (FILE: a copy).
"""
import argparse
import csv
import json
import os
import random
import shutil
import time

import kaldi_native_fbank as knf
import numpy as np
import soundfile as sf
import torch

PHONES = ("aa ae ah ao aw ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th "
          "uh uw v w y z zh").split()
FOLD = {"ao": "aa", "zh": "sh"}
BATCH = 16


def deltas(x, order):
    """Kaldi's derivatives, window 2: the weights convolved `order` times, ends repeated."""
    weights = np.ones(1)
    for _ in range(order):
        weights = np.convolve(weights, np.array([2, 1, 0, -1, -2]) / 10)
    reach = len(weights) // 2
    pad = np.pad(x, ((reach, reach), (0, 0)), mode="edge")
    return sum(w * pad[2 * reach - k:][:len(x)] for k, w in enumerate(weights))


def features(path):
    """[frames, 120]: log mel, first and second derivatives."""
    x, rate = sf.read(path, dtype="float32")
    assert rate == 16000 and x.ndim == 1, path
    o = knf.FbankOptions()
    o.frame_opts.dither, o.mel_opts.num_bins = 0, 40
    f = knf.OnlineFbank(o)
    f.accept_waveform(16000, (x * 32768).tolist())
    f.input_finished()
    y = np.stack([f.get_frame(i) for i in range(f.num_frames_ready)])
    return np.concatenate([deltas(y, order) for order in range(3)], 1).astype(np.float32)


def load(data, split, limit):
    """[(features, label)], labels counted from 1: 0 is the blank."""
    with open(f"{data}/{split}.manifest.tsv", encoding="utf8") as f:
        rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))[:limit]
    return [(features(f"{data}/{r['path']}"), [PHONES.index(p) + 1 for p in r["phones"].split()])
            for r in rows]


def stack(x):
    if len(x) % 2:
        x = np.concatenate([x, x[-1:]])
    return x.reshape(len(x) // 2, -1)


def fits(x, y):
    """Whether CTC can write label `y` in the frames of `x`."""
    return len(x) >= len(y) + sum(p == q for p, q in zip(y, y[1:]))


class Net(torch.nn.Module):
    """An LSTM whose batch may be ragged.

    The backward direction reads each utterance reversed within its own length, and what lies past
    an end is never used: what PyTorch computes for a packed batch (to 6e-8), in a quarter of the
    time, since its packed path on a CPU does without oneDNN.
    """

    def __init__(self, inputs=240, hidden=250, layers=3, classes=len(PHONES) + 1):
        super().__init__()
        self.rnn = torch.nn.LSTM(inputs, hidden, layers, bidirectional=True)
        self.out = torch.nn.Linear(2 * hidden, classes)

    def direction(self, x, layer, suffix):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(self.rnn, f"{n}_l{layer}{suffix}") for n in names]
        zero = x.new_zeros(1, x.shape[1], self.rnn.hidden_size)
        return torch._VF.lstm(x, (zero, zero), weights, True, 1, 0.0, self.training, False, False)[0]

    def forward(self, xs):
        """Utterances [T, F] to log probabilities [T, B, C] and lengths."""
        lengths = torch.tensor([len(x) for x in xs])
        y = torch.nn.utils.rnn.pad_sequence(xs)
        t = torch.arange(len(y))[:, None]
        back = torch.where(t < lengths, lengths - 1 - t, t)[:, :, None]

        def flip(z):
            return z.gather(0, back.expand(-1, -1, z.shape[-1]))

        for layer in range(self.rnn.num_layers):
            ahead = self.direction(y, layer, "")
            y = torch.cat([ahead, flip(self.direction(flip(y), layer, "_reverse"))], -1)
        return self.out(y).log_softmax(-1), lengths


def fold(ids):
    return [FOLD.get(PHONES[i - 1], PHONES[i - 1]) for i in ids]


def edits(ref, hyp):
    prev = list(range(len(hyp) + 1))
    for i, a in enumerate(ref, 1):
        cur = [i]
        for j, b in enumerate(hyp, 1):
            cur.append(min(prev[j - 1] + (a != b), prev[j] + 1, cur[-1] + 1))
        prev = cur
    return prev[-1]


def per(net, data):
    net.eval()
    errors = total = 0
    order = sorted(range(len(data)), key=lambda i: len(data[i][0]))
    with torch.no_grad():
        for k in range(0, len(order), BATCH):
            batch = [data[i] for i in order[k:k + BATCH]]
            y, lengths = net([torch.from_numpy(x) for x, _ in batch])
            for b, (_, ref) in enumerate(batch):
                best = y[:lengths[b], b].argmax(-1).tolist()
                hyp = [p for t, p in enumerate(best) if p and (t == 0 or best[t - 1] != p)]
                errors += edits(fold(ref), fold(hyp))
                total += len(ref)
    return 100 * errors / total


def train_epoch(net, opt, data, rnd):
    """The mean loss of an utterance."""
    net.train()
    order = sorted(range(len(data)), key=lambda i: len(data[i][0]) * rnd.uniform(0.9, 1.1))
    batches = [order[k:k + BATCH] for k in range(0, len(order), BATCH)]
    rnd.shuffle(batches)
    total = 0.0
    for batch in batches:
        y, lengths = net([torch.from_numpy(data[i][0]) for i in batch])
        labels = [torch.tensor(data[i][1]) for i in batch]
        sizes = torch.tensor([len(v) for v in labels])
        loss = torch.nn.functional.ctc_loss(
            y, torch.cat(labels), lengths, sizes, reduction="none").mean()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        opt.step()
        total += loss.item() * len(batch)
    return total / len(data)


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--data", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--epochs", type=int, default=14)
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--limit", type=int, help="the first N utterances of each split")
    a.add_argument("--json")
    return a.parse_args()


def main():
    o = arguments()
    os.makedirs(o.out, exist_ok=True)
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    sets = {s: load(o.data, s, o.limit) for s in ("train", "dev", "test")}
    frames = np.concatenate([x for x, _ in sets["train"]])
    mean, std = frames.mean(0, dtype=np.float64), frames.std(0, dtype=np.float64)
    for s in sets:
        sets[s] = [(stack(((x - mean) / std).astype(np.float32)), y) for x, y in sets[s]]
    train = [(x, y) for x, y in sets["train"] if fits(x, y)]
    net = Net()
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    best, start, state = (1e9, 0, None), 0, o.out + "/state.pt"
    if os.path.exists(state):
        s = torch.load(state)
        net.load_state_dict(s["net"])
        opt.load_state_dict(s["opt"])
        start, best = s["epoch"], s["best"]
    for epoch in range(start, o.epochs):
        t0 = time.time()
        loss = train_epoch(net, opt, train, random.Random(o.seed * 1000 + epoch))
        trained = time.time() - t0
        dev = per(net, sets["dev"])
        if dev < best[0]:
            best = (dev, epoch + 1, {k: v.clone() for k, v in net.state_dict().items()})
        torch.save(dict(net=net.state_dict(), opt=opt.state_dict(), epoch=epoch + 1, best=best),
                   state + ".new")
        os.replace(state + ".new", state)
        print(json.dumps(dict(epoch=epoch + 1, loss=loss, dev_per=dev, train_seconds=trained,
                              seconds=time.time() - t0)), flush=True)
    net.load_state_dict(best[2])
    out = dict(system="torch", torch=torch.__version__, seed=o.seed, threads=o.threads,
               epochs=o.epochs, utterances=len(train), left_out=len(sets["train"]) - len(train),
               best_epoch=best[1], dev_per=best[0], test_per=per(net, sets["test"]))
    print(json.dumps(out))
    with open(o.out + "/result.json", "w", encoding="utf8") as f:
        json.dump(out, f)
    if o.json:
        shutil.copyfile(o.out + "/result.json", o.json)


if __name__ == "__main__":
    main()
