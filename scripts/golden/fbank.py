#!/usr/bin/env python3
"""Kaldi's log-mel features by kaldi-native-fbank, for tests/golden/fbank/.

    pip install kaldi-native-fbank numpy soundfile
    python scripts/golden/fbank.py [FILE.wav ...] [--out tests/golden/fbank]

Each 16 kHz mono FILE (all of data/samples/*.wav where none is named) gives NAME.npy, float32
[frames, 40], and an entry in golden.json beside versions and options. The options are Kaldi's
defaults but for no dither and 40 bins; samples are scaled to the range of 16 bits.
"""
import argparse
import glob
import hashlib
import importlib.metadata
import json
import os
import platform

import kaldi_native_fbank as knf
import numpy as np
import soundfile as sf

RATE = 16000
FRAME = {
    "samp_freq": 16000.0, "frame_length_ms": 25.0, "frame_shift_ms": 10.0, "dither": 0.0,
    "preemph_coeff": 0.97, "remove_dc_offset": True, "window_type": "povey",
    "round_to_power_of_two": True, "snip_edges": True,
}
MEL = {"num_bins": 40, "low_freq": 20.0, "high_freq": 0.0}
BANK = {"use_energy": False, "use_log_fbank": True, "use_power": True}


def options():
    o = knf.FbankOptions()
    for part, values in ((o.frame_opts, FRAME), (o.mel_opts, MEL), (o, BANK)):
        for key, value in values.items():
            assert hasattr(part, key), key
            setattr(part, key, value)
    return o


def features(x):
    """float32 [frames, 40] of samples in [-1, 1]."""
    bank = knf.OnlineFbank(options())
    bank.accept_waveform(RATE, (x * 32768).tolist())
    bank.input_finished()
    rows = [bank.get_frame(i) for i in range(bank.num_frames_ready)]
    return np.array(rows, dtype=np.float32).reshape(len(rows), MEL["num_bins"])


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("files", nargs="*")
    a.add_argument("--out", default="tests/golden/fbank")
    o = a.parse_args()
    files = o.files or sorted(glob.glob("data/samples/*.wav"))
    if not files:
        raise SystemExit("no files named, and none in data/samples")
    names = [os.path.splitext(os.path.basename(p))[0] for p in files]
    if len(set(names)) < len(names):
        raise SystemExit("two files of one name")
    os.makedirs(o.out, exist_ok=True)
    entries = []
    for path, name in zip(files, names):
        x, rate = sf.read(path, dtype="float32")
        if rate != RATE or x.ndim != 1:
            raise SystemExit(f"{path}: not 16 kHz mono")
        y = features(x)
        np.save(os.path.join(o.out, name + ".npy"), y)
        with open(path, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        entries.append({"file": path, "sha256": digest, "samples": len(x),
                        "features": name + ".npy", "frames": y.shape[0], "bins": y.shape[1]})
        print(name, y.shape)
    golden = {
        "made_by": "scripts/golden/fbank.py", "seed": None, "dtype": "float32",
        "kaldi_native_fbank": importlib.metadata.version("kaldi-native-fbank"),
        "numpy": np.__version__, "python": platform.python_version(), "sample_scale": 32768,
        "frame": FRAME, "mel": MEL, "bank": BANK, "files": entries,
    }
    with open(os.path.join(o.out, "golden.json"), "w", encoding="utf-8") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
