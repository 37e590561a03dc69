#!/usr/bin/env python3
"""Lossy sound beside Opus, Vorbis and AAC at equal payload.

    lossy_sound.py --out FOLDER [--codecs LIST] [--rates LIST] [--seconds N] FILE.wav ...

encodes the first seconds of each file with each codec at each rate (kbit/s), decodes,
aligns, and appends to FOLDER/results.csv: codec, rate asked for, file, kbit/s of payload
(packets; of files by rcodec the whole file), Zimtohrli, and with --visqol ViSQOL of the left channel.
Programs: rcodec (or $RCODEC), opusenc, opusdec, oggenc, ffmpeg, ffprobe, fdkaac.
`stream-loss/10` and `opus-loss/10` lose a tenth of the packets; `opus10` has frames of 10 ms.
The last columns are the shift and by how many dB the loudest click stands above its surroundings.
`lossy_sound.py --table FOLDER` prints means by codec and rate."""

import argparse
import csv
import os
import subprocess
import sys
import wave
from collections import defaultdict
from pathlib import Path

import numpy as np

RCODEC = os.environ.get("RCODEC", "rcodec")


def call(*args):
    subprocess.run([str(a) for a in args], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def load(path):
    with wave.open(str(path), "rb") as f:
        data = f.readframes(f.getnframes())
        x = np.frombuffer(data[:len(data) // 2 * 2], dtype="<i2")
        return x.reshape(-1, f.getnchannels()).T / 32768.0, f.getframerate()


def save(path, x, rate):
    with wave.open(str(path), "wb") as f:
        f.setnchannels(x.shape[0])
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes((x.T * 32768).round().clip(-32768, 32767).astype("<i2").tobytes())


def packets(path):
    """Bytes of the packets that FFmpeg finds."""
    out = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=size",
                          "-of", "csv=p=0", str(path)], check=True, capture_output=True, text=True)
    return sum(int(line.strip(",")) for line in out.stdout.split())


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def stream_sizes(path):
    """Bytes of each packet that `rcodec stream encode` wrote."""
    data = Path(path).read_bytes()
    length, at = varint(data, 4)
    at += length + 4
    sizes = []
    while True:
        length, at = varint(data, at)
        if length == 0:
            return sizes
        sizes.append(length)
        at += length + 4


def to_wav(source, wav):
    call("ffmpeg", "-y", "-i", source, "-c:a", "pcm_s16le", wav)


def code(codec, kbps, source, folder):
    """Encodes and decodes; bytes of payload and the decoded file."""
    coded, wav = folder / "coded", folder / "decoded.wav"
    codec, _, lost = codec.partition("/")
    if codec == "file":
        coded = folder / "coded.rcd"
        call(RCODEC, "encode", "--quiet", "--force", "--no-verify", "--bitrate", f"{kbps}k", "-o", coded, source)
        call(RCODEC, "decode", "--quiet", "--force", "-o", wav, coded)
        return coded.stat().st_size, wav
    if codec.startswith("stream"):
        extra = ["--loss"] if codec == "stream-loss" else []
        call(RCODEC, "stream", "encode", *extra, "--bitrate", f"{kbps}k", "-o", coded, source)
        lose = ["--simulate-loss", f"{lost}%"] if lost else []
        call(RCODEC, "stream", "decode", *lose, "-o", folder / "raw.wav", coded)
        to_wav(folder / "raw.wav", wav)
        return sum(stream_sizes(coded)), wav
    if codec.startswith("opus"):
        coded = folder / "coded.opus"
        name, expected, _ = codec.partition("-loss")
        extra = ["--framesize", name[4:]] if name[4:] else []
        extra += ["--expect-loss", "10"] if expected else []
        lose = ["--packet-loss", lost] if lost else []
        call("opusenc", "--quiet", *extra, "--bitrate", kbps, source, coded)
        call("opusdec", "--quiet", "--no-dither", *lose, "--rate", load(source)[1], coded, wav)
        return packets(coded), wav
    if codec == "vorbis":
        coded = folder / "coded.ogg"
        # Quality by rate, as Xiph's tables for two channels of 48 kHz say.
        quality = {45: -1, 48: -0.8, 64: 0, 80: 1, 96: 2, 112: 3, 128: 4}[kbps]
        call("oggenc", "--quiet", "-q", quality, "-o", coded, source)
        to_wav(coded, wav)
        return packets(coded), wav
    coded = folder / "coded.m4a"
    if codec == "aac-lc":
        call("ffmpeg", "-y", "-i", source, "-c:a", "aac", "-b:a", f"{kbps}k", coded)
    else:
        profile = {"fdk-lc": 2, "he-aac": 5, "he-aac-v2": 29}[codec]
        call("fdkaac", "-p", profile, "-b", kbps * 1000, "-o", coded, source)
    to_wav(coded, wav)
    return packets(coded), wav


def aligned(x, y):
    """y moved so that it fits x, and as long."""
    n = 1 << (x.shape[1] + y.shape[1]).bit_length()
    spectrum = np.conj(np.fft.rfft(x[0], n)) * np.fft.rfft(y[0], n)
    correlation = np.fft.irfft(spectrum, n)
    near = np.concatenate([correlation[:8192], correlation[-8192:]])
    best = int(np.argmax(near))
    shift = best if best < 8192 else best - 16384
    y = y[:, shift:] if shift >= 0 else np.pad(y, ((0, 0), (-shift, 0)))
    y = np.pad(y, ((0, 0), (0, max(0, x.shape[1] - y.shape[1]))))
    return y[:, :x.shape[1]], shift


def click_db(x, y, rate):
    """The largest rise of a millisecond of high frequencies (first differences) in y over
    all of the 50 ms on both sides of it, of y as of the original x, but for the 8 ms next to it."""
    def levels(signal):
        size = rate // 1000
        d = np.diff(signal, prepend=0)
        d = d[:len(d) // size * size].reshape(-1, size)
        return 10 * np.log10((d * d).mean(axis=1) + 1e-9)
    worst = -99.0
    for a, b in zip(map(levels, x), map(levels, y)):
        for t in range(60, len(b) - 60):
            around = [*b[t - 50:t - 4], *b[t + 5:t + 51], *a[t - 50:t + 51]]
            worst = max(worst, b[t] - max(around))
    return worst


def resampled(x, old, new):
    if old == new:
        return x
    from scipy.signal import resample_poly
    from math import gcd
    g = gcd(old, new)
    return resample_poly(x, new // g, old // g)


def measure(args):
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.csv"
    done = set()
    if results.exists():
        done = {tuple(row[:3]) for row in csv.reader(results.open())}
    zimtohrli = visqol = None
    if args.visqol:
        from visqol import VisqolApi
        visqol = VisqolApi()
        visqol.create(mode="audio")
    else:
        import zimtohrli as package
        zimtohrli = package.Pyohrli()
    for path in args.files:
        x, rate = load(path)
        start = int(args.start * rate)
        x = x[:, start:start + int(args.seconds * rate)]
        source = out / "source.wav"
        save(source, x, rate)
        for codec in args.codecs.split(","):
            for kbps in map(int, args.rates.split(",")):
                key = (codec, str(kbps), Path(path).stem)
                if key in done or (codec == "vorbis" and kbps < 45):
                    continue
                size, wav = code(codec, kbps, source, out)
                y, got = load(wav)
                if got != rate:
                    sys.exit(f"{codec}: another rate came back")
                y, shift = aligned(x, y)
                pairs = list(zip(x, y))
                if visqol:
                    to48 = lambda s: resampled(s, rate, 48000)
                    a, b = map(to48, pairs[0])
                    score = visqol.measure_from_arrays(a, b, sample_rate=48000).moslqo
                else:
                    to48 = lambda s: resampled(s, rate, 48000).astype("f4")
                    score = np.mean([zimtohrli.distance(to48(a), to48(b)) for a, b in pairs])
                row = [*key, f"{size * 8 * rate / x.shape[1] / 1000:.3f}", f"{score:.6f}", shift,
                       f"{click_db(x, y, rate):.2f}"]
                with results.open("a") as f:
                    csv.writer(f).writerow(row)


def table(folder):
    rows = defaultdict(list)
    for row in csv.reader((Path(folder) / "results.csv").open()):
        rows[row[0], int(row[1])].append((float(row[3]), float(row[4]), float(row[6]) if row[6:] else 0))
    for (codec, kbps), values in sorted(rows.items()):
        mean = np.mean(values, axis=0)
        click = max(value[2] for value in values)
        print(f"{codec:14} {kbps:4} {len(values):3} files {mean[0]:7.2f} kbit/s {mean[1]:.5f} "
              f"click {click:.1f} dB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="lossy-sound")
    parser.add_argument("--codecs", default="file,stream,opus,vorbis,aac-lc,fdk-lc,he-aac,he-aac-v2")
    parser.add_argument("--rates", default="24,32,48,64,96")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--start", type=float, default=0)
    parser.add_argument("--visqol", action="store_true")
    parser.add_argument("--table", metavar="FOLDER")
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    if args.table:
        table(args.table)
    else:
        measure(args)


main()
