#!/usr/bin/env python3
"""Holds formant's language models against KenLM (pip install kenlm): KenLM reads an ARPA file that formant made, and gives the
sentences of a split the same log probabilities, sentence by sentence. With --lmplz, KenLM's own estimation is made from the same
text, read by formant, and both perplexities are compared.

    python scripts/peers/kenlm_same.py DIR [--train train] [--test dev] [--order 4] [--lmplz PROGRAM]
"""
import argparse
import csv
import json
import math
import pathlib
import subprocess
import tempfile

import kenlm

ROOT = pathlib.Path(__file__).resolve().parents[2]


def phones(directory, split):
    with open(directory / f"{split}.manifest.tsv") as file:
        return [row["phones"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def perplexity(formant, model, directory, split):
    said = subprocess.run([formant, "lm", "--lm", model, "-d", directory, "-s", split, "--json"], check=True, capture_output=True)
    return json.loads(said.stdout)["perplexities"][0]["perplexity"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--train", default="train")
    parser.add_argument("--test", default="dev")
    parser.add_argument("--order", default="4")
    parser.add_argument("--formant", default=ROOT / "target/release/formant")
    parser.add_argument("--lmplz")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = pathlib.Path(folder) / "ours.arpa"
        words = [args.formant, "lm", "-d", args.dir, "-s", args.train, "--order", args.order, "-o", ours]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        model = kenlm.Model(str(ours))
        sentences = phones(args.dir, args.test)
        # One sentence a manifest, so that formant's perplexity gives its log probability.
        worst = 0.0
        for n, sentence in enumerate(sentences[:: max(1, len(sentences) // 40)]):
            (pathlib.Path(folder) / "one.manifest.tsv").write_text(f"path\tphones\nx\t{sentence}\n")
            mine = -math.log10(perplexity(args.formant, ours, folder, "one")) * (len(sentence.split()) + 1)
            worst = max(worst, abs(mine - model.score(sentence)))
        print(f"{n + 1} sentences: log10 probabilities differ by {worst:.1e} at most")
        total = sum(model.score(sentence) for sentence in sentences)
        count = sum(len(sentence.split()) + 1 for sentence in sentences)
        mine = perplexity(args.formant, ours, args.dir, args.test)
        print(f"perplexity of {args.test}: formant {mine:.4f}, KenLM with formant's file {10 ** (-total / count):.4f}")
        if args.lmplz:
            text = "\n".join(phones(args.dir, args.train)) + "\n"
            theirs = pathlib.Path(folder) / "theirs.arpa"
            options = ["-o", args.order, "--discount_fallback", "--arpa", theirs]
            subprocess.run([args.lmplz, *options], input=text.encode(), check=True, stderr=subprocess.DEVNULL)
            print(f"perplexity of {args.test} by lmplz's model, read by formant: {perplexity(args.formant, theirs, args.dir, args.test):.4f}")


if __name__ == "__main__":
    main()
