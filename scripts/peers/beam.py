#!/usr/bin/env python3
"""Prefix beam search beside fast-ctc-decode and pyctcdecode (both from PyPI), on the same log probabilities: 300 frames of what
the built-in model hears in data/samples, beam 100. Prints a line a program: median seconds, how many times ours that is, and
the exact CTC score of its best hypothesis.

    python scripts/peers/beam.py [--width 100] [--frames 300]
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def score(log_probs, labels):
    """Logarithm of the probability of all paths that give the labels (class 0 is the blank), in f64."""
    states = [0]
    for label in labels:
        states += [label, 0]
    alpha = np.full(len(states), -np.inf)
    alpha[:2] = log_probs[0, states[:2]]
    for row in log_probs[1:].astype(np.float64):
        stay, one = alpha, np.concatenate([[-np.inf], alpha[:-1]])
        two = np.concatenate([[-np.inf, -np.inf], alpha[:-2]])[: len(alpha)]
        leaps = np.array([s >= 2 and states[s] != 0 and states[s] != states[s - 2] for s in range(len(states))])
        alpha = np.logaddexp(np.logaddexp(stay, one), np.where(leaps, two, -np.inf)) + row[states]
    return float(np.logaddexp(alpha[-1], alpha[-2] if len(alpha) > 1 else -np.inf))


def median(work, runs):
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--frames", type=int, default=300)
    args = parser.parse_args()
    recordings = sorted(p for p in (ROOT / "data" / "samples").iterdir() if p.suffix in (".wav", ".flac", ".ogg", ".mp3"))
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "log_probs.npy"
        words = ["cargo", "run", "--quiet", "--release", "--example", "beam_time", "--", out, args.width, args.frames, *recordings]
        said = subprocess.run([str(w) for w in words], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        ours, log_probs = json.loads(said), np.load(out)
    # A character a class; what is not a letter is fine.
    alphabet = [chr(0x4E00 + c) for c in range(log_probs.shape[1])]
    labels = lambda text: [alphabet.index(c) for c in text]
    found = [("formant", ours["seconds"], ours["phones"])]

    import fast_ctc_decode

    probabilities = np.ascontiguousarray(np.exp(log_probs), dtype=np.float32)
    for cut in (0.0, 0.001):
        work = lambda: fast_ctc_decode.beam_search(probabilities, "".join(alphabet), args.width, cut)
        found.append((f"fast-ctc-decode, cut {cut}", median(work, 5), labels(work()[0])))

    import pyctcdecode

    decoder = pyctcdecode.build_ctcdecoder(["", *alphabet[1:]])
    work = lambda: decoder.decode(log_probs, beam_width=args.width)
    found.append(("pyctcdecode", median(work, 3), labels(work())))

    for name, seconds, phones in found:
        print(f"{name:28} {seconds * 1e3:10.3f} ms {seconds / ours['seconds']:8.1f}x   score {score(log_probs, phones):.4f}")


main()
