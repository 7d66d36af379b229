# ruff: noqa: E501, C408
"""Deterministic corpus of training logs.

    python -m bench.corpus OUT [--scale tiny|small|full] [--total BYTES --streams N --big BYTES] [--seed N]

Writes OUT/<file per stream> and OUT/truth.json. The same arguments give the same
bytes. One stream is a worker's log with its own size ("big"); the others share
"total" and come four to a job: two workers, the plog and the device log of rank 0.

truth.json: {"seed", "bytes", "lines", "queries": {name: {"pattern", "regex", "ignore_case"}},
"streams": [{"file", "job", "node", "kind", "big", "bytes", "lines",
"counts": {query: matching lines}, "needles": {query: [line numbers, 0-based]}}]}
A line is what stands between two \\n; a progress bar keeps its \\r inside its line.
"""

# ruff: noqa: E501

import argparse
import json
import os
import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

Table = list[tuple[int, Callable[[], str]]]

MIB = 1 << 20
SCALES = {  # total bytes, streams, big bytes
    "tiny": (16 * MIB, 16, 16 * MIB),
    "small": (128 * MIB, 64, 128 * MIB),
    "full": (1024 * MIB, 64, 512 * MIB),
}
QUERIES = {
    "rare": {"pattern": "rank_needle_7c41e9d0", "regex": False, "ignore_case": False},
    "absent": {"pattern": "zq_never_written_51", "regex": False, "ignore_case": False},
    "common": {"pattern": "loss", "regex": False, "ignore_case": False},
    "infix": {"pattern": "POINToverflow", "regex": False, "ignore_case": True},
    "regex": {"pattern": r"retry=[0-9]+ .*qp=0x[0-9a-f]{8} (failed|timeout)", "regex": True, "ignore_case": False},
    "regex_hard": {"pattern": r"[A-Z]{2}[0-9]{6}[a-z]{3}[0-9][A-Z]", "regex": True, "ignore_case": False},
}
EPOCH = 1795140000  # the logs' own clock starts here
CHUNK = 20_000  # lines written at a time
NEEDLES = {  # name: (how many in the big stream, how many in some other streams)
    "rare": (3, 1),
    "infix": (20, 2),
    "regex": (20, 2),
    "regex_hard": (10, 1),
}
LAYERS = ["conv1", "bn1", "attn.q_proj", "attn.k_proj", "mlp.up", "mlp.down", "embed", "lm_head", "norm"]
FILES = ["trainer.py", "dataset.py", "model_zoo/resnet.py", "utils/ckpt.py", "parallel/pipeline.py", "hccl_adapter.py"]
PKGS = ["numpy", "mindspore-ascend", "torch", "transformers", "tqdm", "moxing-framework", "esdk-obs-python", "sympy"]
ZH = [
    "信息: 正在加载检查点 {p}，耗时 {ms} 毫秒",
    "警告: 数据加载速度低于预期，第 {n} 步等待 {ms} 毫秒",
    "训练进度: 第 {n} 步 完成, 当前显存占用 {g:.2f} GB, 节点通信正常",
    "[系统] 正在从 OBS 同步数据集到 {p} ...",
]
BAR = "▏▎▍▌▋▊▉█"


class Clock:
    """A running time with its text cached by the second."""

    def __init__(self, rng: random.Random) -> None:
        self.r, self.t, self.sec, self.s = rng, EPOCH + rng.random() * 86400, -1, ("", "", "")

    def tick(self) -> tuple[tuple[str, str, str], int]:
        self.t += self.r.random() * 0.08
        sec = int(self.t)
        if sec != self.sec:
            self.sec, g = sec, time.gmtime(sec)
            self.s = (
                time.strftime("%Y-%m-%d %H:%M:%S", g),
                time.strftime("%Y-%m-%d-%H:%M:%S", g),
                time.strftime("%Y-%m-%dT%H:%M:%S+08:00", g),
            )
        return self.s, int((self.t - sec) * 1e6)


def templates(r: random.Random, job: str, rank: int, pid: int) -> Table:
    """(weight, function returning one line) for a worker's log."""
    c, rnd, bits = Clock(r), r.random, r.getrandbits
    st = [0, 0]  # epoch, step

    def step() -> int:
        st[1] += 1
        if st[1] % 5000 == 0:
            st[0] += 1
        return st[1]

    def path() -> str:
        return f"/cache/dataset/train/n{bits(27):08d}/{bits(128):032x}.tfrecord"

    def mindspore() -> str:
        n = step()
        return f"epoch: {st[0]} step: {n}, loss is {2.3 * 0.99997**n + rnd() / 9:.7f}"

    def info() -> str:
        (d, _, _), us = c.tick()
        return (
            f"[{d},{us // 1000:03d}] [INFO] [{FILES[0]}:412:train_step] rank={rank} step={step()} "
            f"lr={rnd() * 1e-3:.6e} loss={rnd() * 3:.5f} grad_norm={rnd() * 9:.4f} tokens/s={rnd() * 9e4:.1f} mem={rnd() * 64:.2f}GB"
        )

    def per_step() -> str:
        return f"Train epoch time: {rnd() * 9e5:.3f} ms, per step time: {rnd() * 900:.3f} ms"

    def tqdm() -> str:
        out, k = [], 1 + bits(2)
        for _ in range(k):
            n, f = step() % 5000, rnd()
            full = int(f * 10)
            bar = "█" * full + BAR[bits(3)] + " " * (9 - full)
            out.append(
                f"Epoch {st[0]}: {int(f * 100):3d}%|{bar}| {n}/5000 [{bits(6):02d}:{bits(5):02d}<{bits(6):02d}:{bits(5):02d}, {rnd() * 20:5.2f}it/s, loss={rnd() * 3:.3f}]"
            )
        return "\r".join(out)

    def pip() -> str:
        p, v = PKGS[bits(3)], f"{bits(3)}.{bits(4)}.{bits(3)}"
        if bits(1):
            return f"Requirement already satisfied: {p}=={v} in /home/ma-user/anaconda3/envs/MindSpore/lib/python3.9/site-packages (from -r requirements.txt (line {bits(6)}))"
        return f"  Downloading http://mirror.example.com/packages/{bits(8):02x}/{bits(8):02x}/{bits(240):060x}/{p}-{v}-cp39-cp39-linux_aarch64.whl ({rnd() * 90:.1f} MB)"

    def shard() -> str:
        (d, _, _), us = c.tick()
        return f"{d}.{us:06d} INFO dataset: loaded shard {path()} sha256={bits(256):064x} in {rnd() * 900:.1f}ms"

    def nccl() -> str:
        a, b = bits(3), bits(3)
        return f"ma-job-{job[:8]}-worker-{rank}:{pid}:{pid + 100 + bits(5)} [{a}] NCCL INFO Channel {bits(4):02d}/16 : {a}[{bits(16):04x}] -> {b}[{bits(16):04x}] via P2P/IPC/read retry={bits(3)}"

    def hccl() -> str:
        (_, d, _), us = c.tick()
        return f"[WARNING] HCCL({pid},{bits(40):x},python):{d}.{us // 1000:03d}.{us % 1000:03d} [mindspore/ccsrc/plugin/device/ascend/hal/hccl_adapter/hccl_adapter.cc:{bits(9)}] GenTask] retry={bits(2)} cost {bits(11)} us, stream {bits(12)}"

    def trace() -> str:
        f = FILES[bits(3) % 6]
        return (
            "Traceback (most recent call last):\n"
            f'  File "/home/ma-user/modelarts/user-job-dir/code/{f}", line {bits(10)}, in train_one_epoch\n'
            "    output = self.network(*inputs)\n"
            f'  File "/home/ma-user/modelarts/user-job-dir/code/{f}", line {bits(10)}, in forward\n'
            f"    raise RuntimeError('shape mismatch at {LAYERS[bits(4) % 9]}: {bits(10)} vs {bits(10)}')\n"
            f"RuntimeError: shape mismatch at 0x{bits(48):012x}; retrying batch {bits(16)}"
        )

    def service() -> str:
        (d, _, _), _us = c.tick()
        return f"[ModelArts Service Log]{d} - INFO - {('bootstrap', 'ma-pre-start', 'sidecar', 'upload')[bits(2)]}: sync {path()} -> obs://bucket-{bits(16):04x}/output/V{bits(5):04d}/ done in {bits(12)} ms"

    def toolkit() -> str:
        (_, _, d), _ = c.tick()
        return f'time="{d}" level=info msg="{("process still alive", "report heartbeat ok", "npu utilization sampled")[bits(4) % 3]} pid={pid} seq={bits(20)}" file="task_monitor.go:{bits(9)}" Command=bootstrap/run Component=ma-training-toolkit Platform=ModelArts-Service'

    def chinese() -> str:
        (d, _, _), _ = c.tick()
        return d + " " + ZH[bits(2)].format(p=path(), ms=bits(12), n=bits(18), g=rnd() * 64)

    def colour() -> str:
        (d, _, _), us = c.tick()
        lvl = (("32", "INFO"), ("33", "WARN"), ("31", "ERROR"), ("36", "DEBUG"))[bits(2)]
        return f"\x1b[2m{d}.{us // 1000:03d}\x1b[0m \x1b[1;{lvl[0]}m{lvl[1]:<5}\x1b[0m \x1b[35m{FILES[bits(3) % 6]}\x1b[0m layer={LAYERS[bits(4) % 9]} norm={rnd() * 9:.4f} req={bits(64):016x}"

    def metrics() -> str:
        return f'{{"ts": {c.t:.3f}, "rank": {rank}, "step": {st[1]}, "metrics": {{"acc": {rnd():.5f}, "npu_util": {bits(7)}, "hbm": {rnd() * 32:.3f}}}, "trace_id": "{bits(128):032x}"}}'

    def graph() -> str:
        return f"[INFO] DEVICE({pid},{bits(40):x},python): AddGraph kernel={LAYERS[bits(4) % 9]}-op{bits(12)} addr=0x{bits(48):012x} size={bits(24)}"

    return [(30, mindspore), (12, info), (5, per_step), (6, tqdm), (3, pip), (10, shard), (6, nccl), (6, hccl),
            (1, trace), (4, service), (4, toolkit), (3, chinese), (4, colour), (4, metrics), (4, graph)]  # fmt: skip


def plog_templates(r: random.Random, rank: int, pid: int, device: bool) -> Table:
    """The same for ascend's plog (host) and device logs."""
    c, bits, rnd = Clock(r), r.getrandbits, r.random
    mods = ["HCCL", "RUNTIME", "GE", "TDT", "ASCENDCL", "DRV", "HCCP", "TS"]

    def line(level: str, text: str) -> str:
        (_, d, _), us = c.tick()
        who = f"{pid},{'aicpu_scheduler' if device else 'python'}"
        return (
            f"[{level}] {mods[bits(3)]}({who}):{d}.{us // 1000:03d}.{us % 1000:03d} [{('stream', 'engine', 'task', 'transport')[bits(2)]}.cc:{bits(10)}][{pid + bits(4)}]"
            + text
        )

    return [
        (
            50,
            lambda: line(
                "INFO",
                f"[Submit]stream_id={bits(10)}, task_id={bits(16)}, sq_head={bits(11)}, sq_tail={bits(11)}, retry={bits(2)}",
            ),
        ),
        (20, lambda: line("EVENT", f"[Notify]wait done, tag[{bits(64):016x}], cost[{rnd() * 9e3:.1f}us]")),
        (
            15,
            lambda: line(
                "DEBUG",
                f"[MemAlloc]ptr=0x{bits(48):012x}, size={bits(24)}, policy={bits(4)}, device_id={rank}, module=3",
            ),
        ),
        (10, lambda: line("WARNING", f"[Link]remote rank {bits(8)} slow, qp=0x{bits(32):08x} ok, rtt={bits(12)}us")),
        (5, lambda: line("ERROR", f"[Check]report time out, ret=0x{bits(28):07x}, node[{bits(128):032x}]")),
    ]


def needle(name: str, r: random.Random) -> str:
    b = r.getrandbits
    return {
        "rare": lambda: (
            f"[ERROR] HCCL({b(15)},python): link to 10.155.{b(8)}.{b(8)}:60003 broken, id rank_needle_7c41e9d0 after {b(7)} s"
        ),
        "infix": lambda: (
            f"mindspore.train: CheckPointOverflowDetected in op AllReduce-op{b(10)}, scale {b(16)} -> {b(15)}"
        ),
        "regex": lambda: (
            f"[WARNING] HCCP({b(15)},hccp): connect retry={b(4)} rank {b(8)} qp=0x{b(32):08x} {('failed', 'timeout')[b(1)]}"
        ),
        "regex_hard": lambda: (
            f"assertion id {chr(65 + b(4))}{chr(65 + b(4))}{b(19):06d}{'abc' if b(1) else 'xyz'}{b(3)}Q raised by watchdog"
        ),
    }[name]()


def make_stream(job_args: tuple[str, dict[str, Any], int, int]) -> dict[str, Any]:
    out, meta, size, seed = job_args
    r = random.Random(seed)
    rank, pid = meta["rank"], 100 + r.getrandbits(10)
    table = (
        templates(r, meta["job"], rank, pid)
        if meta["kind"] == "worker"
        else plog_templates(r, rank, pid, meta["kind"] == "device")
    )
    weights, funcs = [w for w, _ in table], [f for _, f in table]
    where = sorted(
        (r.random() * size, name)
        for name, (big, other) in NEEDLES.items()
        for _ in range(big if meta["big"] else other if r.getrandbits(3) == 0 or name != "rare" else 0)
    )
    path = os.path.join(out, meta["file"])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    needles: dict[str, list[int]] = {k: [] for k in NEEDLES}
    n, written, common = 0, 0, 0
    with open(path, "wb") as f:
        while written < size:
            lines = [fn() for fn in r.choices(funcs, weights, k=CHUNK)]
            lines = "\n".join(lines).split("\n")  # a traceback is several lines
            guess = min(1.0, (size - written) / (len(lines) * 118))  # stop near the size asked for
            lines = lines[: max(1, int(len(lines) * guess))]
            here = []
            while where and where[0][0] < written + len(lines) * 118 + 1:
                here.append(where.pop(0)[1])
            for name in here:
                lines[r.randrange(len(lines))] = needle(name, r)
            common += sum("loss" in s for s in lines)
            for name in set(here):
                probe = {
                    "rare": "rank_needle_",
                    "infix": "PointOverflow",
                    "regex": "connect retry=",
                    "regex_hard": "assertion id",
                }[name]
                needles[name] += [n + i for i, s in enumerate(lines) if probe in s]
            data = ("\n".join(lines) + "\n").encode()
            f.write(data)
            written += len(data)
            n += len(lines)
    counts = {k: len(v) for k, v in needles.items()} | {"common": common, "absent": 0}
    return meta | {"bytes": written, "lines": n, "counts": counts, "needles": needles}


def plan(out: str, total: int, streams: int, big: int, seed: int) -> list[tuple[str, dict[str, Any], int, int]]:
    r = random.Random(seed)
    jobs, todo = [], []
    for i in range(streams):
        if i % 4 == 0:
            jobs.append(str(uuid.UUID(int=r.getrandbits(128), version=4)))
        job, kind = jobs[-1], ("worker", "worker", "plog", "device")[i % 4]
        rank, ts = i % 4 % 2, 20261120100000 + r.getrandbits(12)
        name = {
            "worker": f"modelarts-job-{job}-worker-{rank}.log",
            "plog": f"ascend/process_log/rank_0/plog/plog-{r.getrandbits(10)}_{ts}.log",
            "device": f"ascend/process_log/rank_0/device-0/device-{r.getrandbits(10)}_{ts}.log",
        }[kind]
        todo.append(
            (
                dict(
                    file=f"{job}/{name}",
                    job=job,
                    node=f"worker-{rank if kind == 'worker' else 0}",
                    kind=kind,
                    rank=rank,
                    big=False,
                ),
                total // streams,
            )
        )
    if big:
        job = str(uuid.UUID(int=r.getrandbits(128), version=4))
        todo.insert(
            0,
            (
                dict(
                    file=f"{job}/modelarts-job-{job}-worker-0.log",
                    job=job,
                    node="worker-0",
                    kind="worker",
                    rank=0,
                    big=True,
                ),
                big,
            ),
        )
    return [(out, m, size, r.getrandbits(64)) for m, size in todo]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("out")
    p.add_argument("--scale", choices=SCALES, default="full")
    p.add_argument("--total", type=int)
    p.add_argument("--streams", type=int)
    p.add_argument("--big", type=int)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    total, streams, big = (
        x if x is not None else d for x, d in zip((a.total, a.streams, a.big), SCALES[a.scale], strict=True)
    )
    with ProcessPoolExecutor() as pool:
        made = list(pool.map(make_stream, plan(a.out, total, streams, big, a.seed)))
    truth = {
        "seed": a.seed,
        "bytes": sum(s["bytes"] for s in made),
        "lines": sum(s["lines"] for s in made),
        "queries": QUERIES,
        "streams": made,
    }
    with open(os.path.join(a.out, "truth.json"), "w") as f:
        json.dump(truth, f, indent=1)
    print(
        f"{truth['bytes']} bytes, {truth['lines']} lines, {truth['bytes'] / truth['lines']:.1f} bytes a line, {len(made)} streams"
    )


if __name__ == "__main__":
    main()
