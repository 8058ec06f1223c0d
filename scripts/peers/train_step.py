#!/usr/bin/env python3
"""PyTorch beside formant on the same machine: training step, inference, CTC loss, peak memory.

    pip install torch
    cargo build --release
    python scripts/peers/train_step.py [--threads 2] [--rounds 5] [--runs 5] [--json FILE] [PART ...]

The shapes are those of `formant bench`, which measures formant's side: three bidirectional LSTMs of
250 over 123 numbers a frame and a linear layer to 62 classes. A training step is forward, CTC loss,
backward, clipping and Adam: of 16 utterances of 300 frames (train), of 16 from 100 to 300 frames
(train-unequal), of one of 300 (train-one). Inference is one utterance of 1000 frames (infer); the
CTC loss with its gradient has three shapes (ctc). All in f32, but for formant's inference with
weights of 8 bits, which is compared with PyTorch's in f32. Peak memory (memory) is that of a
process that makes training steps of the first kind, less what it has before the first.

Where PyTorch can be set up in several ways, all are timed and the fastest counts: oneDNN on or off,
and for unequal lengths a padded or a packed sequence.

PyTorch and formant take turns, so that a machine that drifts drifts for both. Each round's number
is a median after a warm-up; what is printed is the median over the rounds, and the ratio PyTorch
by formant of each round: above 1, formant is the faster one. An idle machine is up to you.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import torch

INPUTS, HIDDEN, LAYERS, CLASSES, LABELS = 123, 250, 3, 62, 38
CTC_SHAPES = [(300, 16, 62, 38), (1000, 32, 62, 100), (500, 32, 1000, 60)]
LENGTHS = {"train": [300] * 16, "train-unequal": [100 + b * 200 // 15 for b in range(16)], "train-one": [300]}
PARTS = [*LENGTHS, "infer", "ctc", "memory"]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.LSTM(INPUTS, HIDDEN, LAYERS, bidirectional=True)
        self.out = torch.nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, x):
        return self.out(self.rnn(x)[0])

    def packed(self, x, lengths):
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return self.out(torch.nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0])[0])


def median(work, runs):
    """Seconds of one run, after one that warms up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def train_step(frames, packed):
    net, batch = Net(), len(frames)
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    count = min(min(frames) // 7, LABELS)
    x = torch.randn(max(frames), batch, INPUTS)
    labels = torch.randint(1, CLASSES, (batch, count))
    lengths, sizes = torch.tensor(frames), torch.full((batch,), count)

    def work():
        opt.zero_grad()
        logits = net.packed(x, lengths) if packed else net(x)
        loss = torch.nn.functional.ctc_loss(logits.log_softmax(-1), labels, lengths, sizes, reduction="none").mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
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
        torch.nn.functional.ctc_loss(logits.log_softmax(-1), labels, lengths, sizes, reduction="sum").backward()
    return work


def with_mkldnn(on, work):
    def run():
        with torch.backends.mkldnn.flags(enabled=on):
            work()
    return run


def torch_side(parts):
    """Name of each figure, and the ways to do it, by name."""
    cases = {}
    for part, frames in LENGTHS.items():
        if part in parts:
            ways = ["padded", "packed"] if len(set(frames)) > 1 else ["padded"]
            works = {way: train_step(frames, way == "packed") for way in ways}
            cases[part] = {f"{way}, oneDNN {'on' if on else 'off'}": with_mkldnn(on, work)
                           for way, work in works.items() for on in (True, False)}
    if "infer" in parts:
        work = infer()
        cases["infer"] = cases["infer, 8 bits"] = {f"oneDNN {'on' if on else 'off'}": with_mkldnn(on, work) for on in (True, False)}
    if "ctc" in parts:
        cases.update({"ctc {}x{}x{}x{}".format(*shape): {"": ctc(*shape)} for shape in CTC_SHAPES})
    return cases


def name_of(record):
    """Which of our figures a line of `formant bench --json` is, if any."""
    if record["figure"] == "train_frames_per_s":
        return "train-unequal" if "shortest" in record else "train" if record["batch"] > 1 else "train-one"
    if record["figure"] == "infer_frames_per_s":
        return "infer" if record["weight_bits"] == 32 else "infer, 8 bits"
    if record["figure"] == "ctc_loss_fwd_bwd":
        return "ctc {}x{}x{}x{}".format(*(record[key] for key in "TBCL"))
    return None


def formant_side(program, parts, threads, quick):
    """Seconds of each figure, by the same names."""
    command = [program, "bench", *parts, "--json", "--threads", str(threads)] + ["--quick"] * quick
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name_of(record): record["seconds"] for record in map(json.loads, lines) if name_of(record)}


def own_memory(key):
    """A line of this process's status, MiB."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(key))


def steps_alone():
    """Prints by how much training steps raise this process's memory, at most."""
    work = train_step(LENGTHS["train"], False)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
        reset.write("5")
    before = own_memory("VmRSS")
    for _ in range(5):
        work()
    print(own_memory("VmHWM") - before)


def peak(command):
    """Peak memory of a command, MiB. (What the system tells afterwards would count what this process had, too.)"""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    highest = 0
    while child.poll() is None:
        with open(f"/proc/{child.pid}/status", encoding="ascii") as status:
            lines = [line for line in status if line.startswith("VmHWM")]
        highest = max([highest, *(int(line.split()[1]) / 1024 for line in lines)])
        time.sleep(0.01)
    return highest


def memory(program, threads):
    """By how much training steps raise the memory of PyTorch and of formant, at most."""
    alone = [sys.executable, __file__, "--steps-alone", "--threads", str(threads)]
    theirs = float(subprocess.run(alone, check=True, capture_output=True, text=True).stdout)
    return theirs, peak([program, "bench", "train", "--quick", "--threads", str(threads)]) - peak([program, "--version"])


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without any, all")
    a.add_argument("--formant", default="target/release/formant", help="the program")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--runs", type=int, default=5, help="of PyTorch, each round")
    a.add_argument("--full", action="store_true", help="formant bench without --quick")
    a.add_argument("--json", help="write all numbers here")
    a.add_argument("--steps-alone", action="store_true", help=argparse.SUPPRESS)
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    if o.steps_alone:
        steps_alone()
        return
    if unknown := set(o.parts) - set(PARTS):
        a.error(f"no part is called {', '.join(sorted(unknown))}")
    parts = o.parts or PARTS
    cases, timed = torch_side(parts), [part for part in parts if part != "memory"]
    theirs, ours = {name: [] for name in cases}, {name: [] for name in cases}
    fastest = {name: None for name in cases}
    for _ in range(o.rounds if timed else 0):
        for name, ways in cases.items():
            # The first round finds the fastest way.
            if fastest[name] is None:
                fastest[name] = min(ways, key=lambda way: median(ways[way], o.runs))
            theirs[name].append(median(ways[fastest[name]], o.runs))
        for name, seconds in formant_side(o.formant, timed, o.threads, not o.full).items():
            ours[name].append(seconds)
    version = subprocess.run([o.formant, "--version"], check=True, capture_output=True, text=True)
    print(f"torch {torch.__version__}, {version.stdout.strip()}, {o.threads} threads, "
          f"{o.rounds} rounds, {platform.machine()}")
    print(f"{'':18}{'torch':>12}{'formant':>12}   torch / formant")
    for name in cases:
        ratios = sorted(a / b for a, b in zip(theirs[name], ours[name]))
        print(f"{name:18}{statistics.median(theirs[name]) * 1e3:9.1f} ms"
              f"{statistics.median(ours[name]) * 1e3:9.1f} ms"
              f"   {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})   {fastest[name]}")
    peaks = memory(o.formant, o.threads) if "memory" in parts else None
    if peaks:
        print(f"{'memory':18}{peaks[0]:8.0f} MiB{peaks[1]:8.0f} MiB   formant / torch {peaks[1] / peaks[0]:.2f}")
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump({"torch": torch.__version__, "formant": version.stdout.strip(), "threads": o.threads,
                       "ways": fastest, "seconds": {"torch": theirs, "formant": ours}, "peak_mib": peaks}, f)


if __name__ == "__main__":
    main()
