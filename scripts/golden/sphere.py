#!/usr/bin/env python3
"""NIST SPHERE and shorten files, decoded by sox and ffmpeg, for tests/golden/sphere/.

    apt-get install sox ffmpeg
    python scripts/golden/sphere.py [--out tests/golden/sphere]

Writes small files in every coding, among them shorten streams by an encoder of its own (it uses every
function of the format on purpose), and what the witnesses decode them to. sox knows SPHERE in PCM and
mu-law, ffmpeg also in A-law; ffmpeg knows shorten with linear samples in a .shn file. Of a shorten
stream with bytes of mu-law or A-law the witness decodes the twin that is not compressed. golden.json
lists the files, their witness, and the WAV file with its samples.
"""
import argparse
import hashlib
import json
import os
import struct
import subprocess
import tempfile
import wave

SOURCE = "data/samples/so0120.wav"
RATE = 16000


class Bits:
    """Rice codes, highest bit first, padded to words of 32 bits."""

    def __init__(self):
        self.bits = []

    def rice(self, value, low):
        assert value >= 0
        self.bits += [0] * (value >> low) + [1] + [value >> i & 1 for i in reversed(range(low))]

    def signed(self, value, low):
        self.rice(value << 1 if value >= 0 else ~value << 1 | 1, low)

    def bytes(self):
        padded = self.bits + [0] * (-len(self.bits) % 32)
        return bytes(int("".join(map(str, padded[i:i + 8])), 2) for i in range(0, len(padded), 8))


def toward_zero(a, b):
    return -(-a // b) if a < 0 else a // b


def predictor(x, order):
    """Coefficients in units of 1/32, by Levinson and Durbin."""
    r = [sum(a * b for a, b in zip(x, x[lag:])) for lag in range(order + 1)]
    a, error = [], r[0] * 1.0001 + 1
    for m in range(order):
        k = (r[m + 1] - sum(c * r[m - i] for i, c in enumerate(a))) / error
        a = [c - k * d for c, d in zip(a, reversed(a))] + [k]
        error *= 1 - k * k
    return [max(-1000, min(1000, round(32 * c))) for c in a]


class Shorten:
    """An encoder that takes the functions that it is told to, one a block in turn: 0 to 3, or "lpc"."""
    KINDS = {"au1": 0, "s8": 1, "u8": 2, "s16hl": 3, "u16hl": 4, "s16lh": 5, "u16lh": 6, "au2": 8, "au3": 9}

    def __init__(self, kind, version, block=64, order=0, means=4, functions=(0, 1, 2, 3)):
        self.kind, self.version, self.size, self.order = kind, version, block, order
        self.count = 0 if kind.startswith("au") or version == 0 else means
        self.functions, self.out = functions, Bits()

    def number(self, value, low):
        if self.version:
            low = max(0, value.bit_length() - 1)
            self.out.rice(low, 2)
        self.out.rice(value, low)

    def encode(self, channels, verbatim=b""):
        out, silence = self.out, {"u8": 128, "u16hl": 1 << 15, "u16lh": 1 << 15}.get(self.kind, 0)
        self.number(self.KINDS[self.kind], 4)
        self.number(len(channels), 0)
        if self.version:
            for value, low in ((self.size, 8), (self.order, 2), (self.count, 0), (0, 1)):
                self.number(value, low)
        if verbatim:
            out.rice(9, 2)
            out.rice(len(verbatim), 5)
            for byte in verbatim:
                out.rice(byte, 8)
        if self.version == 0 and self.size != 256:
            out.rice(5, 2)
            out.rice(self.size, 8)
        self.back = max(3, self.order)
        self.before = [[0] * self.back for _ in channels]
        self.means = [[silence] * max(1, self.count) for _ in channels]
        self.shift, self.at, size = 0, 0, self.size
        for start in range(0, len(channels[0]), self.size):
            parts = [x[start:start + self.size] for x in channels]
            if len(parts[0]) != size:
                out.rice(5, 2)
                self.number(len(parts[0]), size.bit_length() - 1)
                size = len(parts[0])
            for c, part in enumerate(parts):
                self.block(c, part)
        out.rice(4, 2)
        return b"ajkg" + bytes([self.version]) + out.bytes()

    def reduce(self, x):
        """Samples without the bits that are zero in all of them, and how many."""
        if self.kind in ("au1", "au2"):
            return mulaw_inward(x, self.kind == "au2")
        shift = 0
        while any(x) and all(s % 2 == 0 for s in x):
            x, shift = [s >> 1 for s in x], shift + 1
        return x, shift if any(x) else self.shift

    def block(self, c, x):
        out = self.out
        x, shift = self.reduce(x)
        if shift != self.shift:
            out.rice(6, 2)
            out.rice(shift, 2)
            self.shift = shift
        means = self.means[c]
        offset = means[0]
        if self.count:
            rounding = 0 if self.version < 2 else self.count // 2
            offset = toward_zero(rounding + sum(means), self.count)
            offset = offset if self.version < 2 else offset >> shift
        if self.count:
            mean = toward_zero(sum(x) + (0 if self.version < 2 else len(x) // 2), len(x))
            means[:] = means[1:] + [mean if self.version < 2 else mean << shift]
        if any(x) or self.version < 2:
            function = self.functions[self.at % len(self.functions)]
            self.at += 1
            self.differences(function, self.before[c] + x, offset)
        else:
            out.rice(8, 2)
        self.before[c] = (self.before[c] + x)[-self.back:]

    def differences(self, function, x, offset):
        n, out, coefficients = self.back, self.out, None
        if function == "lpc":
            coefficients = predictor([s - offset for s in x[n:]], self.order)
            rounding = 0 if self.version < 2 else 32
            predict = lambda i: offset + (
                rounding + sum(a * (x[i - 1 - j] - offset) for j, a in enumerate(coefficients)) >> 5)
        else:
            predict = (
                lambda i: offset, lambda i: x[i - 1], lambda i: 2 * x[i - 1] - x[i - 2],
                lambda i: 3 * (x[i - 1] - x[i - 2]) + x[i - 3])[function]
        rest = [x[i] - predict(i) for i in range(n, len(x))]
        size = lambda low: sum((2 * abs(d) >> low) + low for d in rest)
        low = min(range(1, 18), key=size)
        out.rice(7 if coefficients else function, 2)
        out.rice(low - 1 if self.version else low, 3)
        if coefficients:
            out.rice(len(coefficients), 2)
            for a in coefficients:
                out.signed(a, 6)
        for d in rest:
            out.signed(d, low)


def mulaw_bytes(samples):
    """G.711's byte of 16-bit samples."""
    def one(s):
        size = min(abs(s), 32635) + 132
        e = size.bit_length() - 8
        return ~((0x80 if s < 0 else 0) | e << 4 | size >> e + 3 & 15) & 255
    return [one(s) for s in samples]


MULAW_ZEROS = [0] * 256
for _shift in range(13):
    for _byte in mulaw_bytes(range(-32768, 32768, 1 << _shift + 3)):
        MULAW_ZEROS[_byte] = _shift


def mulaw_inward(x, two_zeros):
    """Bytes of mu-law as ranks, those with enough zero bits first; and how many zero bits all have."""
    shift = min(MULAW_ZEROS[b] for b in x)
    few = lambda b: MULAW_ZEROS[b] < shift
    rank = {b: i for i, b in enumerate(sorted(range(128, 256), key=lambda b: (few(b), -b)))}
    negative = sorted(range(127), key=lambda b: (few(b), -b))
    if two_zeros:
        rank |= {b: -2 - i for i, b in enumerate(negative)} | {127: -1}
    else:
        negative.insert(sum(not few(b) for b in negative), 127)
        rank |= {b: -1 - i for i, b in enumerate(negative)}
    return [rank[b] for b in x], shift


def alaw_inward(x):
    return [127 - (b ^ 0xd5) if b < 128 else (b ^ 0x55) - 128 for b in x]


def header(fields, size=1024):
    text = "NIST_1A\n%7d\n" % size
    for key, value in fields:
        text += "%s -%s %s\n" % (key, "i" if isinstance(value, int) else "s%d" % len(value), value)
    return (text + "end_head\n").encode().ljust(size)


def sphere(body, channels, count, width, order, coding=None, size=1024):
    fields = [("channel_count", channels), ("sample_count", count), ("sample_rate", RATE),
              ("sample_n_bytes", width), ("sample_byte_format", order)]
    return header(fields + ([("sample_coding", coding)] if coding else []), size) + body


def riff(channels, width, count):
    size = channels * width * count
    return (b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack(
        "<IHHIIHH", 16, 1, channels, RATE, RATE * channels * width, channels * width, 8 * width)
        + b"data" + struct.pack("<I", size))


def pcm(channels, width, order):
    return b"".join(s.to_bytes(width, order, signed=True) for frame in zip(*channels) for s in frame)


def signals():
    """Two channels of 16 bits: speech, silence, speech without its lowest bits, speech beside the middle."""
    with wave.open(SOURCE) as w:
        x = list(struct.unpack("<%dh" % w.getnframes(), w.readframes(w.getnframes())))
    loud = max(range(0, len(x) - 2000, 100), key=lambda i: sum(map(abs, x[i:i + 2000])))
    x = x[loud:loud + 2000]
    left = x[:300] + [0] * 200 + [s & ~7 for s in x[300:500]] + [s // 2 + 900 for s in x[500:800]] + [-32768, 32767]
    right = [s & ~1 for s in x[900:1200]] + [0] * 150 + [-s for s in x[1200:1700]] + x[1700:1752]
    assert len(left) == len(right)
    return left, right


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)


def sox(file, to, bits):
    run("sox", "-D", file, "-b", str(bits), "-e", "signed", to)


def ffmpeg(file, to, bits):
    run("ffmpeg", "-v", "error", "-y", "-i", file, "-bitexact", "-c:a", "pcm_s%dle" % bits, to)


def cases():
    """Names, bytes of the file, the witness, bytes for the witness, and bits of a sample that it makes."""
    left, right = signals()
    n, both = len(left), (left, right)
    out = []

    def plain(name, witness, bits, *sphere_of, **more):
        data = sphere(*sphere_of, **more)
        out.append((name + ".sph", data, witness, data, bits))

    def packed(name, encoder, channels, bytes_, order, coding, twin, bits=16):
        """A SPHERE file with a shorten stream, and the file that it says the same as."""
        ints = channels
        stream = encoder.encode(ints)
        data = sphere(stream, len(channels), n, bytes_, order, coding + ",embedded-shorten-v2.00")
        out.append((name + ".sph", data, *twin, bits))

    for width in (1, 2, 3, 4):
        wide = [[(s << 8 * width >> 16) ^ (i * 40503 & (1 << 8 * width - 16) - 1 if width > 2 else 0)
                 for i, s in enumerate(x[:400])] for x in both]
        for order, end in (("01", "little"), ("10", "big")):
            if width > 1 or order == "01":
                name = "pcm%d%s" % (8 * width, "" if width == 1 else "-" + end)
                order = "1" if width == 1 else order
                plain(name, sox, max(16, 8 * width) if width < 3 else 32,
                      pcm(wide[:1 + (end == "big")], width, end), 1 + (end == "big"), 400, width, order)
    plain("long-header", sox, 16, pcm([left[:200]], 2, "little"), 1, 200, 2, "01", size=3072)

    mulaw = [mulaw_bytes(x) for x in both]
    alaw = [to_alaw(x) for x in both]
    interleave = lambda xs: bytes(b for frame in zip(*xs) for b in frame)
    u_mono = sphere(interleave(mulaw[:1]), 1, n, 1, "1", "ulaw")
    u_both = sphere(interleave(mulaw), 2, n, 1, "1", "mu-law")
    a_mono = sphere(interleave(alaw[:1]), 1, n, 1, "1", "alaw")
    out.append(("mulaw.sph", u_mono, sox, u_mono, 16))
    out.append(("mulaw-stereo.sph", u_both, sox, u_both, 16))
    out.append(("alaw.sph", a_mono, ffmpeg, a_mono, 16))

    def linear(name, channels, kind, version, in_sphere=True, **more):
        """The same encoder's .shn, which ffmpeg reads."""
        shn = Shorten(kind, version, **more).encode(channels, riff(len(channels), 1 if "8" in kind else 2, n))
        if in_sphere:
            order = "10" if kind.endswith("hl") else "01"
            packed(name, Shorten(kind, version, **more), channels, 2, order, "pcm", (ffmpeg, shn))
        else:
            out.append((name + ".shn", shn, ffmpeg, shn, 16))

    lpc = {"order": 6, "functions": ("lpc",)}
    linear("shorten-v0", [left], "s16lh", 0)
    linear("shorten-v1", [left], "s16lh", 1)
    linear("shorten-v1-lpc", [left], "s16hl", 1, **lpc)
    linear("shorten-v2", [left], "s16lh", 2)
    linear("shorten-v2-stereo", both, "s16hl", 2, block=100)
    linear("shorten-v2-lpc-stereo", both, "s16lh", 2, order=12, functions=("lpc", 2), block=128)
    linear("shorten-v3", both, "s16lh", 3, means=0, **lpc)
    linear("shorten-v2", both, "s16lh", 2, in_sphere=False, block=256)
    linear("shorten-v3-u8", [[(s >> 8) + 128 for s in left]], "u8", 3, in_sphere=False)
    for name, kind, version, channels, twin in (
            ("v1-mulaw", "au1", 1, mulaw[:1], u_mono), ("v2-mulaw", "au2", 2, mulaw[:1], u_mono),
            ("v2-mulaw-stereo", "au2", 2, mulaw, u_both)):
        packed("shorten-" + name, Shorten(kind, version), channels, 1, "1", "ulaw", (sox, twin))
    even = [0x7f, 0xff, 0xef, 0x6f] * (n // 4) + [0xff] * (n % 4)
    twin = sphere(bytes(even), 1, n, 1, "1", "ulaw")
    packed("shorten-v2-mulaw-shifted", Shorten("au2", 2), [even], 1, "1", "ulaw", (sox, twin))
    packed("shorten-v1-mulaw-shifted", Shorten("au1", 1), [even], 1, "1", "ulaw", (sox, twin))
    packed("shorten-v3-alaw", Shorten("au3", 3), [alaw_inward(alaw[0])], 1, "1", "alaw", (ffmpeg, a_mono))
    return out


def to_alaw(samples):
    """sox's A-law."""
    raw = struct.pack("<%dh" % len(samples), *samples)
    command = "sox -V1 -D -t raw -r 16000 -b 16 -e signed -c 1 - -t raw -e a-law -b 8 -".split()
    return list(subprocess.run(command, input=raw, check=True, stdout=subprocess.PIPE).stdout)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--out", default="tests/golden/sphere")
    o = a.parse_args()
    os.makedirs(o.out, exist_ok=True)
    version = lambda *c: subprocess.run(c, stdout=subprocess.PIPE, check=True, text=True).stdout.split("\n")[0]
    golden = {"made_by": "scripts/golden/sphere.py", "source": SOURCE,
              "sox": version("sox", "--version"), "ffmpeg": version("ffmpeg", "-version")[:40], "files": []}
    known = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, data, witness, theirs, bits in cases():
            with open(os.path.join(o.out, name), "wb") as f:
                f.write(data)
            ending = ".shn" if theirs.startswith(b"ajkg") else ".sph"
            twin, to = os.path.join(folder, "twin" + ending), os.path.join(folder, "to.wav")
            with open(twin, "wb") as f:
                f.write(theirs)
            witness(twin, to, bits)
            with open(to, "rb") as f:
                sound = f.read()
            # The same samples are kept once.
            key = hashlib.sha256(sound).hexdigest()
            if key not in known:
                known[key] = os.path.splitext(name)[0] + ".wav"
                with open(os.path.join(o.out, known[key]), "wb") as f:
                    f.write(sound)
            golden["files"].append({"file": name, "witness": witness.__name__, "samples": known[key]})
    with open(os.path.join(o.out, "golden.json"), "w", encoding="utf-8") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
