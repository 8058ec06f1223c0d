#!/usr/bin/env python3
"""Phone error rate of hama (the PyPI package, its phoneme ASR) on a manifest.

    pip install hama soundfile numpy scipy
    python scripts/peers/hama_per.py MANIFEST.tsv [--column phones] [--limit N] [--json OUT]

hama answers in IPA. This maps it to the 39 ARPAbet phones and folds both sides (ao=aa, zh=sh,
ax, axr, ix ... to their full vowels) before counting. Greedy, as hama does by default.
hama drops all sound after 30 s. --column picks the label: `phones`, or the dictionary label
`phones_lex` where the set has one. --limit takes every k-th utterance, N in all.
"""
import argparse
import csv
import importlib.metadata
import json
import os
import time

import numpy as np
import soundfile as sf
from hama import ASRModel
from scipy.signal import resample_poly

RATE = 16000

# Everything hama's vocabulary holds for English; the longest match wins.
IPA = {
    "tʃ": "ch", "dʒ": "jh", "t͡ʃ": "ch", "d͡ʒ": "jh",
    "aɪ": "ay", "aʊ": "aw", "ɔɪ": "oy", "eɪ": "ey", "oʊ": "ow", "əʊ": "ow",
    "ɑː": "aa", "iː": "iy", "uː": "uw", "ɔː": "ao", "ɜː": "er",
    "ɝ": "er", "ɚ": "er", "ɜ": "er", "ɑ": "aa", "ɒ": "aa", "a": "aa", "æ": "ae",
    "ʌ": "ah", "ə": "ah", "ɐ": "ah", "ɔ": "ao", "ɛ": "eh", "e": "ey",
    "ɪ": "ih", "ɨ": "ih", "i": "iy", "o": "ow", "ʊ": "uh", "u": "uw",
    "b": "b", "d": "d", "ð": "dh", "f": "f", "ɡ": "g", "g": "g", "h": "hh",
    "k": "k", "l": "l", "ɫ": "l", "m": "m", "n": "n", "ŋ": "ng", "p": "p",
    "ɹ": "r", "r": "r", "s": "s", "ʃ": "sh", "t": "t", "ɾ": "d", "θ": "th",
    "v": "v", "w": "w", "j": "y", "z": "z", "ʒ": "sh",
}
KEYS = sorted(IPA, key=len, reverse=True)

FOLD = {
    "ao": "aa", "zh": "sh", "ax": "ah", "axr": "er", "ix": "ih", "el": "l", "em": "m",
    "en": "n", "nx": "n", "dx": "d", "hv": "hh", "ux": "uw",
}
SILENCE = {"sil", "h#", "pau", "epi"}


def arpabet(tokens):
    """hama's IPA tokens as ARPAbet phones; what the table lacks is skipped."""
    out = []
    for token in tokens:
        s = token.strip().replace("ˈ", "").replace("ˌ", "")
        while s:
            key = next((k for k in KEYS if s.startswith(k)), None)
            if key:
                out.append(IPA[key])
            s = s[len(key) if key else 1:]
    return out


def fold(phones):
    return [FOLD.get(p, p) for p in phones if p not in SILENCE]


def edits(ref, hyp):
    """(edits, substitutions, deletions, insertions) of one cheapest alignment."""
    prev = [(j, 0, 0, j) for j in range(len(hyp) + 1)]
    for i, a in enumerate(ref, 1):
        cur = [(i, 0, i, 0)]
        for j, b in enumerate(hyp, 1):
            match, up, left = prev[j - 1], prev[j], cur[j - 1]
            cur.append(min(
                (match[0] + (a != b), match[1] + (a != b), match[2], match[3]),
                (up[0] + 1, up[1], up[2] + 1, up[3]),
                (left[0] + 1, left[1], left[2], left[3] + 1),
            ))
        prev = cur
    return prev[-1]


def read_audio(path):
    x, rate = sf.read(path, dtype="float32", always_2d=True)
    x = x.mean(1)
    return x if rate == RATE else resample_poly(x, RATE, rate).astype(np.float32)


def measure(model, manifest, column, limit):
    with open(manifest, encoding="utf-8") as f:
        rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    if limit:
        rows = rows[::max(1, len(rows) // limit)][:limit]
    totals, reference, seconds, spent = [0, 0, 0, 0], 0, 0.0, 0.0
    for row in rows:
        x = read_audio(os.path.join(os.path.dirname(manifest), row["path"]))
        start = time.perf_counter()
        answer = model.transcribe_waveform(x, RATE)
        spent += time.perf_counter() - start
        seconds += len(x) / RATE
        ref, hyp = fold(row[column].split()), fold(arpabet(answer.phonemes))
        reference += len(ref)
        totals = [a + b for a, b in zip(totals, edits(ref, hyp))]
    return {
        "system": "hama " + importlib.metadata.version("hama"),
        "manifest": "/".join(os.path.abspath(manifest).split("/")[-2:]),
        "column": column,
        "utterances": len(rows),
        "reference_phones": reference,
        "per": 100 * totals[0] / reference,
        "substitutions": totals[1],
        "deletions": totals[2],
        "insertions": totals[3],
        "real_time_factor": spent / seconds,
    }


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("manifest")
    a.add_argument("--column", default="phones", help="label column (phones)")
    a.add_argument("--limit", type=int, help="score about N utterances only")
    a.add_argument("--json", help="write the result here too")
    o = a.parse_args()
    result = measure(ASRModel(), o.manifest, o.column, o.limit)
    print(json.dumps(result))
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(result, f)


if __name__ == "__main__":
    main()
