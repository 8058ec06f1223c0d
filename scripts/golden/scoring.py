#!/usr/bin/env python3
"""Substitutions, deletions and insertions as jiwer and as NIST's sclite count them, for tests/golden/scoring.tsv.

    pip install jiwer; apt-get install sctk
    python scripts/golden/scoring.py [--out tests/golden/scoring.tsv]

A line a pair of random texts: reference, hypothesis, jiwer's three counts, sclite's three counts. Many pairs have
several cheapest alignments, with other counts: the tools' choices among them are part of what is compared.
"""
import argparse
import importlib.metadata
import os
import random
import re
import subprocess
import tempfile

import jiwer

SEED = 20261126
PAIRS = 2000


def pair(rnd):
    """Lower case only: sclite takes no notice of case."""
    letters = "abcdefghij"[: rnd.choice([2, 3, 5, 10])]
    some = lambda: [rnd.choice(letters) for _ in range(rnd.randint(1, 24))]
    reference = some()
    hypothesis = list(reference) if rnd.random() < 0.6 else some()
    for _ in range(rnd.randint(0, 8)):
        at, kind = rnd.randrange(len(hypothesis) + 1), rnd.random()
        if kind < 0.33:
            hypothesis.insert(at, rnd.choice(letters))
        elif at < len(hypothesis) and kind < 0.66 and len(hypothesis) > 1:
            hypothesis.pop(at)
        elif at < len(hypothesis):
            hypothesis[at] = rnd.choice(letters)
    return " ".join(reference), " ".join(hypothesis)


def by_jiwer(pairs):
    done = (jiwer.process_words(r, h) for r, h in pairs)
    return [(d.substitutions, d.deletions, d.insertions) for d in done]


def by_sclite(pairs):
    with tempfile.TemporaryDirectory() as folder:
        for side, name in enumerate(("ref.trn", "hyp.trn")):
            with open(os.path.join(folder, name), "w") as out:
                out.writelines("%s (s-%d)\n" % (p[side], n) for n, p in enumerate(pairs))
        command = "sctk sclite -i spu_id -r ref.trn trn -h hyp.trn trn -o pra stdout".split()
        text = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    found, current = {}, None
    for line in text.splitlines():
        if match := re.match(r"id: \(s-(\d+)\)", line):
            current = int(match[1])
        elif match := re.match(r"Scores: \(#C #S #D #I\) \d+ (\d+) (\d+) (\d+)", line):
            found[current] = tuple(map(int, match.groups()))
    return [found[n] for n in range(len(pairs))]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(here, "../../tests/golden/scoring.tsv"))
    args = parser.parse_args()
    rnd = random.Random(SEED)
    pairs = [pair(rnd) for _ in range(PAIRS)]
    with open(args.out, "w") as out:
        out.write("reference\thypothesis\tjiwer %s\tsclite 2.10\n" % importlib.metadata.version("jiwer"))
        for (r, h), j, s in zip(pairs, by_jiwer(pairs), by_sclite(pairs)):
            out.write("\t".join([r, h, "%d %d %d" % j, "%d %d %d" % s]) + "\n")


if __name__ == "__main__":
    main()
