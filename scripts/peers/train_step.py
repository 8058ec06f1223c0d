#!/usr/bin/env python3
"""PyTorch beside formant on the same machine: training step, inference, CTC loss.

    pip install torch
    cargo build --release
    python scripts/peers/train_step.py [--threads 2] [--rounds 5] [--runs 5] [--json FILE]

The shapes are those of `formant bench`, which measures formant's side: three bidirectional LSTMs of
250 over 80 numbers a frame and a linear layer to 40 classes; a training step (forward, CTC loss,
backward, Adam) at B = 16, T = 300, 38 labels each; inference of one utterance of 1000 frames; the
CTC loss with its gradient at three shapes. All in f32.

PyTorch and formant take turns, so that a machine that drifts drifts for both. Each round's number
is a median after a warm-up; what is printed is the median over the rounds, and the ratio PyTorch
by formant of each round: above 1, formant is the faster one. An idle machine is up to you.
"""
import argparse
import json
import platform
import statistics
import subprocess
import time

import torch

INPUTS, HIDDEN, LAYERS, CLASSES, LABELS = 80, 250, 3, 40, 38
CTC_SHAPES = [(300, 16, 62, 38), (1000, 32, 62, 100), (500, 32, 1000, 60)]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.LSTM(INPUTS, HIDDEN, LAYERS, bidirectional=True)
        self.out = torch.nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, x):
        return self.out(self.rnn(x)[0])


def median(work, runs):
    """Seconds of one run, after one that warms up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def train_step():
    net, batch, frames = Net(), 16, 300
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    x = torch.randn(frames, batch, INPUTS)
    labels = torch.randint(1, CLASSES, (batch, LABELS))
    lengths, sizes = torch.full((batch,), frames), torch.full((batch,), LABELS)

    def work():
        opt.zero_grad()
        loss = torch.nn.functional.ctc_loss(
            net(x).log_softmax(-1), labels, lengths, sizes, reduction="none").mean()
        loss.backward()
        opt.step()
    return work


def infer():
    net, x = Net().eval(), torch.randn(1000, 1, INPUTS)

    def work():
        with torch.inference_mode():
            net(x)
    return work


def ctc(frames, batch, classes, count):
    logits = torch.randn(frames, batch, classes, requires_grad=True)
    labels = torch.randint(1, classes, (batch, count))
    lengths, sizes = torch.full((batch,), frames), torch.full((batch,), count)

    def work():
        logits.grad = None
        torch.nn.functional.ctc_loss(
            logits.log_softmax(-1), labels, lengths, sizes, reduction="sum").backward()
    return work


def torch_side():
    """Name of each figure, and what to time."""
    cases = {"train step": train_step(), "inference": infer()}
    for shape in CTC_SHAPES:
        cases["ctc {}x{}x{}x{}".format(*shape)] = ctc(*shape)
    return cases


def formant_side(program, threads, quick):
    """Seconds of each figure, by the same names."""
    command = [program, "bench", "--json", "--threads", str(threads)] + ["--quick"] * quick
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    seconds = {}
    for record in map(json.loads, lines):
        if record["figure"] == "train_frames_per_s":
            seconds["train step"] = record["seconds"]
        elif record["figure"] == "infer_frames_per_s":
            seconds["inference"] = record["seconds"]
        elif record["figure"] == "ctc_loss_fwd_bwd":
            shape = [record[key] for key in "TBCL"]
            seconds["ctc {}x{}x{}x{}".format(*shape)] = record["seconds"]
    return seconds


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--formant", default="target/release/formant", help="the program")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--runs", type=int, default=5, help="of PyTorch, each round")
    a.add_argument("--full", action="store_true", help="formant bench without --quick")
    a.add_argument("--json", help="write all numbers here")
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    cases = torch_side()
    theirs, ours = {name: [] for name in cases}, {name: [] for name in cases}
    for _ in range(o.rounds):
        for name, work in cases.items():
            theirs[name].append(median(work, o.runs))
        for name, seconds in formant_side(o.formant, o.threads, not o.full).items():
            ours[name].append(seconds)
    version = subprocess.run([o.formant, "--version"], check=True, capture_output=True, text=True)
    print(f"torch {torch.__version__}, {version.stdout.strip()}, {o.threads} threads, "
          f"{o.rounds} rounds, {platform.machine()}")
    print(f"{'':18}{'torch':>12}{'formant':>12}   torch / formant")
    for name in cases:
        ratios = sorted(a / b for a, b in zip(theirs[name], ours[name]))
        print(f"{name:18}{statistics.median(theirs[name]) * 1e3:9.1f} ms"
              f"{statistics.median(ours[name]) * 1e3:9.1f} ms"
              f"   {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump({"torch": torch.__version__, "formant": version.stdout.strip(),
                       "threads": o.threads, "seconds": {"torch": theirs, "formant": ours}}, f)


if __name__ == "__main__":
    main()
