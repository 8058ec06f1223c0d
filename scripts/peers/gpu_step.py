#!/usr/bin/env python3
"""PyTorch on a GPU, beside `formant bench --device cuda`: the same network (123 inputs, 3 bidirectional LSTMs of 250, 62
classes), the same shapes, one JSON line a figure. f32 with and without TF32; the median of so many runs.

    python scripts/peers/gpu_step.py [--runs N]
"""
import argparse
import json
import statistics
import time

import torch


def median(runs, work):
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(123, 250, 3, bidirectional=True)
        self.output = torch.nn.Linear(500, 62)

    def forward(self, x):
        return self.output(self.lstm(x)[0])


def say(figure, seconds, value, **shape):
    print(json.dumps({"peer": f"torch {torch.__version__}", "figure": figure, **shape, "value": value, "seconds": seconds}))


def train(frames, batch, runs, **shape):
    net = Net().cuda()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    x = torch.randn(frames, batch, 123, device="cuda")
    labels = torch.randint(1, 62, (batch, 38), device="cuda")
    lengths = torch.full((batch,), frames, device="cuda"), torch.full((batch,), 38, device="cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        logs = net(x).log_softmax(-1)
        torch.nn.functional.ctc_loss(logs, labels, *lengths).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()

    seconds = median(runs, step)
    say("train_frames_per_s", seconds, frames * batch / seconds, batch=batch, frames=frames, **shape)


def infer(runs, **shape):
    net = Net().cuda().eval()
    x = torch.randn(1000, 1, 123, device="cuda")
    with torch.inference_mode():
        seconds = median(runs, lambda: net(x))
    say("infer_frames_per_s", seconds, 1000 / seconds, batch=1, frames=1000, **shape)


def ctc(t, b, c, l, runs):
    logits = torch.randn(t, b, c, device="cuda", requires_grad=True)
    # cuDNN's wants labels side by side, on the host, as 32-bit integers, and at most 256 of them.
    ways = {"native": torch.randint(1, c, (b, l), device="cuda")}
    ways["cudnn"] = ways["native"].flatten().int().cpu()
    for way, labels in ways.items():
        kind = torch.long if way == "native" else torch.int
        lengths = torch.full((b,), t, dtype=kind), torch.full((b,), l, dtype=kind)

        def step():
            logits.grad = None
            torch.nn.functional.ctc_loss(logits.log_softmax(-1), labels, *lengths, reduction="sum").backward()

        seconds = median(runs, step)
        say("ctc_loss_fwd_bwd", seconds, seconds, T=t, B=b, C=c, L=l, way=way)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    for tf32 in (False, True):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        for batch in (1, 16, 64):
            train(300, batch, runs, tf32=tf32)
        infer(runs, tf32=tf32)
    for shape in ((300, 16, 62, 38), (1000, 32, 62, 100), (500, 32, 1000, 60)):
        ctc(*shape, runs)


main()
