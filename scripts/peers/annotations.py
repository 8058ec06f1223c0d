#!/usr/bin/env python3
"""Reads back what `formant align` writes, with the packages that people read it with.

TextGrid with praatio, .eaf with pympi-ling (pip install praatio pympi-ling), CTM by sclite's rules, and holds the times against
those of --format json.

    scripts/peers/annotations.py [--formant target/release/formant]
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

from praatio import textgrid
from pympi.Elan import Eaf

ROOT = pathlib.Path(__file__).resolve().parents[2]
AUDIO, TEXT = ROOT / "data/samples/so1293.wav", "Fans need to have a little faith."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formant", default=ROOT / "target/release/formant")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("a.TextGrid", "a.eaf", "a.ctm", "a.json", "a.phn"):
            subprocess.run([args.formant, "align", AUDIO, TEXT, "--out", folder / name], check=True)
        record = json.loads((folder / "a.json").read_text())
        truth = {
            "words": [(w["start"], w["end"], w["word"]) for w in record["words"]],
            "phones": [(p["start"], p["end"], p["phone"]) for p in record["phones"]],
        }

        def same(name, found, expected, tolerance):
            assert len(found) == len(expected), (name, found)
            for (start, end, label), (start2, end2, label2) in zip(found, expected):
                assert label == label2 and abs(start - start2) <= tolerance and abs(end - end2) <= tolerance, (name, label)
            print(f"{name}: {len(found)} intervals, the same")

        grid = textgrid.openTextgrid(str(folder / "a.TextGrid"), includeEmptyIntervals=False)
        assert abs(grid.maxTimestamp - record["seconds"]) < 1e-4
        eaf = Eaf(str(folder / "a.eaf"))
        for tier, expected in truth.items():
            entries = [(e.start, e.end, e.label) for e in grid.getTier(tier).entries]
            same(f"praatio, {tier}", entries, expected, 1e-5)
            entries = [(a / 1000, b / 1000, label) for a, b, label in sorted(eaf.get_annotation_data_for_tier(tier))]
            same(f"pympi, {tier}", entries, expected, 0.00051)
        fields = [line.split() for line in (folder / "a.ctm").read_text().splitlines()]
        assert all(len(f) == 6 and f[0] == AUDIO.name and f[1] == "1" and 0 <= float(f[5]) <= 1 for f in fields)
        same("CTM, words", [(float(f[2]), float(f[2]) + float(f[3]), f[4]) for f in fields], truth["words"], 0.0011)
        for suffix, tier in (("phn", "phones"), ("WRD", "words")):
            lines = [line.split(" ", 2) for line in (folder / f"a.{suffix}").read_text().splitlines()]
            entries = [(int(a) / 16000, int(b) / 16000, label) for a, b, label in lines if label not in ("h#", "pau")]
            same(f".{suffix}", entries, truth[tier], 1e-4)


if __name__ == "__main__":
    main()
