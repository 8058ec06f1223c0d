#!/usr/bin/env python3
"""Words without beam search or language model: the greedy phones of each utterance are cut into the words of CMUdict that fit
best, with one edit in a word at most, fewest edits first, then fewest words, then the words that are most frequent in the
training texts. Prints the word error rate, to hold beside `formant evaluate --words`.

    scripts/peers/nearest_words.py DIR SPLIT [--formant target/release/formant] [--train TRAIN.manifest.tsv ...]
"""
import argparse
import collections
import csv
import gzip
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONGEST = 14


def rows(path):
    with open(path) as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def plain(text):
    words = (re.sub(r"^[^\w'’]+|[^\w'’]+$", "", word).lower().strip("'") for word in text.split())
    return [word for word in words if re.search(r"\w", word)]


def dictionary():
    known = collections.defaultdict(set)
    with gzip.open(ROOT / "data/lexicon/cmudict.dict.gz", "rt", encoding="latin-1") as file:
        for line in file:
            if not line.startswith(";;;"):
                word, *phones = line.split()
                known[tuple(p.rstrip("012").lower() for p in phones)].add(re.sub(r"\(\d+\)$", "", word))
    return known


def edits(reference, hypothesis):
    row = list(range(len(hypothesis) + 1))
    for i, r in enumerate(reference, 1):
        before, row = row, [i]
        for j, h in enumerate(hypothesis, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (r != h)))
    return row[-1]


class Cutter:
    def __init__(self, counts):
        self.known, self.counts = dictionary(), counts
        self.phones = sorted({p for phones in self.known for p in phones})
        self.found = {}

    def best(self, phones):
        """The word nearest to these phones, and its edits: none or one."""
        if phones not in self.found:
            options = [(0, word) for word in self.known.get(phones, ())]
            if not options:
                near = {phones[:i] + phones[i + 1:] for i in range(len(phones))}
                for p in self.phones:
                    near |= {phones[:i] + (p,) + phones[i + 1:] for i in range(len(phones))}
                    near |= {phones[:i] + (p,) + phones[i:] for i in range(len(phones) + 1)}
                options = [(1, word) for n in near for word in self.known.get(n, ())]
            key = lambda option: (option[0], -self.counts[option[1]], option[1])
            self.found[phones] = min(options, key=key) if options else None
        return self.found[phones]

    def cut(self, phones):
        # By phones read: edits, words, frequency; and the words.
        paths = [((0, 0, 0), [])]
        for end in range(1, len(phones) + 1):
            (e, w, f), words = paths[end - 1]
            options = [((e + 1, w, f), words)]
            for start in range(max(0, end - LONGEST), end):
                word = self.best(tuple(phones[start:end]))
                if word:
                    (e, w, f), words = paths[start]
                    options.append(((e + word[0], w + 1, f - self.counts[word[1]]), words + [word[1]]))
            paths.append(min(options, key=lambda option: option[0]))
        return paths[-1][1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("split")
    parser.add_argument("--formant", default=ROOT / "target/release/formant")
    parser.add_argument("--train", type=pathlib.Path, nargs="*", default=[])
    args = parser.parse_args()
    counts = collections.Counter(word for path in args.train for row in rows(path) for word in plain(row["text"]))
    utterances = rows(args.dir / f"{args.split}.manifest.tsv")
    files = [args.dir / row["path"] for row in utterances]
    said = subprocess.run([args.formant, "transcribe", "-f", "json", *files], check=True, capture_output=True, text=True)
    cutter = Cutter(counts)
    wrong = total = 0
    for row, line in zip(utterances, said.stdout.splitlines()):
        reference = plain(row["text"])
        wrong += edits(reference, cutter.cut(json.loads(line)["phones"].split()))
        total += len(reference)
    print(f"word error rate {100 * wrong / total:.2f} % ({total} words)")


if __name__ == "__main__":
    main()
