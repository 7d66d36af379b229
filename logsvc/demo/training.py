"""One worker of the demo's training job: real data, real SGD, a real failure.

Two workers train one perceptron on made digits and average their gradients over a socket at each
step; worker-0 saves a checkpoint twice an epoch. Worker-1's data comes slowly from the second epoch
on. One of its shards is torn; NumPy refuses it in the fourth epoch. Worker-0 then misses
its peer and stops. Around that, the worker writes what such a job writes on ModelArts: platform
lines of both forms, pip's output, progress bars, warnings, and Ascend files beside it; and what its
cards read (`cards.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from datetime import datetime
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import TextIO

import numpy as np

from logsvc.demo import digits
from logsvc.demo.cards import Cards
from logsvc.demo.model import Perceptron
from logsvc.demo.replay import Replay, rest, sample

EPOCHS = 6
TORN_EPOCH = 4  # the shard that worker-1 cannot use
SLOW_EPOCH = 2  # from here on worker-1's data comes slowly
STEPS = 40  # an epoch
SAVE_STEPS = 20
STEP_SECONDS, SAVE_SECONDS, BAR_SECONDS = 0.35, 1.8, 0.05  # at a pace for people
BATCH = 32
SHOW_STEPS = 4
BAR_STEPS = 24
RENDEZVOUS_SECONDS = 60.0
_KEY = b"two workers of one demo"
GREEN, YELLOW, PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[0m"


class Tee:
    """Writes to the worker's log and to the process's log, as the launcher's `tee` does."""

    def __init__(self, *files: TextIO) -> None:
        self._files = files

    def write(self, text: str) -> int:
        for file in self._files:
            file.write(text)
            file.flush()
        return len(text)

    def flush(self) -> None:
        for file in self._files:
            file.flush()


class Peers:
    """The other worker: gradients are averaged with it, step by step."""

    def __init__(self, rank: int, meeting: Path) -> None:
        self._connection: Connection
        if rank == 0:
            with Listener(("127.0.0.1", 0), authkey=_KEY) as listener:
                new = meeting.with_suffix(".new")
                new.write_text(str(listener.address[1]))
                new.rename(meeting)
                self._connection = listener.accept()
        else:
            deadline = time.monotonic() + RENDEZVOUS_SECONDS
            while not meeting.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError("worker-0 did not come up in time")
                rest(0.05)
            self._connection = Client(("127.0.0.1", int(meeting.read_text())), authkey=_KEY)

    def mean(self, gradients: list[digits.Array]) -> list[digits.Array]:
        """Average with the peer; raises RuntimeError when it is gone."""
        try:
            self._connection.send(gradients)
            theirs = self._connection.recv()
        except (EOFError, OSError) as exc:
            raise RuntimeError("all-reduce failed: rank 1 closed its connection, the peer is lost") from exc
        return [(mine + other) / 2 for mine, other in zip(gradients, theirs, strict=True)]


def main() -> None:
    """One worker from its first platform line to its end."""
    parser = argparse.ArgumentParser(prog="python -m logsvc.demo.training")
    parser.add_argument("--job", required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="shards, and where the workers meet")
    parser.add_argument("--log-dir", type=Path, required=True, help="as MA_LOG_DIR")
    parser.add_argument("--cards", type=Path, required=True, help="file for what the cards read")
    parser.add_argument("--pace", type=float, default=1.0, help="1: for people; less: faster")
    given = parser.parse_args()
    task = f"worker-{given.rank}"
    logs = given.log_dir / f"modelarts-job-{given.job}" / task
    logs.mkdir(parents=True, exist_ok=True)
    sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr]

    cards = Cards(given.cards, given.rank)
    _prepare(given.job, given.rank, given.pace)
    proc = (logs / f"modelarts-job-{given.job}-proc-rank-{given.rank}-device-0.txt").open("a", encoding="utf-8")
    sys.stdout = sys.stderr = Tee(sys.stdout, proc)
    replay = Replay(logs / f"rank_{given.rank}", os.getpid(), task)
    try:
        _train(given.rank, given.folder, given.pace, replay, cards)
    except RuntimeError:
        replay.fail()
        raise


def _prepare(job: str, rank: int, pace: float) -> None:
    """What the platform and pip write before the training process starts."""
    _mark("[init] download code_url: obs://demo-bucket/digits/code/")
    _mark("[init] running ma-pre-start")
    print("+ export GLOG_v=1\n+ ulimit -c 0")
    print(f"ma-pre-start 成功: {os.cpu_count()} 核, 可用")
    _toolkit("info", "start the periodic upload task, upload period = 5 seconds ", "upload.go:46")
    rest(0.6 * pace)
    for line in sample("pip.txt"):
        print(line)
        rest(0.12 * pace)
    _mark(f"{_now()} - INFO - Wait for Rank table file ready")
    rest(0.5 * pace)
    _mark(f"{_now()} - INFO - Rank table file (K8S generated) is ready for read")
    _mark(f"{_now()} - INFO - ")
    print(json.dumps(_rank_table(job), indent=4))
    _mark(f"{_now()} - INFO - bootstrap proc-rank-{rank}-device-0")
    _mark(f"{_now()} - INFO - proc-rank-{rank}-device-0 (pid: {os.getpid()})")


def _train(rank: int, folder: Path, pace: float, replay: Replay, cards: Cards) -> None:
    print(f"数据集已就绪：{EPOCHS} 个分片，每片 {STEPS * BATCH} 张图像")
    peers = Peers(rank, folder / "meeting")
    print(f"group of 2 workers is up, this is rank {rank}")
    model = Perceptron(seed=1)
    cards.load()
    is_starved = False
    test_images, test_labels = digits.load_shard(folder / "test.npz")
    warnings.warn("validation uses one shard only, accuracy is an estimate", UserWarning, stacklevel=1)
    for epoch in range(1, EPOCHS + 1):
        images, labels = digits.load_shard(folder / f"shard-{rank}-{epoch}.npz")
        started = time.monotonic()
        for step in range(1, STEPS + 1):
            batch = slice((step - 1) * BATCH, step * BATCH)
            loss, gradients = model.gradients(images[batch], labels[batch])
            cards.train(is_starved=is_starved)
            model.step(peers.mean(gradients))
            if step % SHOW_STEPS == 0:
                print(f"epoch: {epoch} step: {step}, loss is {loss}")
                replay.beat()
            rest(STEP_SECONDS * pace)
            if step % SAVE_STEPS == 0:
                _save(model, rank, folder, f"digits-{epoch}_{step}.npz", pace, cards)
            if rank == 1 and epoch == SLOW_EPOCH and step == SHOW_STEPS:
                is_starved = True
                print(f"{YELLOW}[WARNING] prefetch queue is empty: the data loader does not keep up{PLAIN}")
        spent = (time.monotonic() - started) * 1000
        print(f"Train epoch time: {spent:.3f} ms, per step time: {spent / STEPS:.3f} ms")
        if loss > 1.5:
            print(f"{YELLOW}[WARNING] loss is still high after epoch {epoch}: {loss:.3f}{PLAIN}")
        accuracy = _evaluate(model, epoch, test_images, test_labels, pace)
        print(f"{GREEN}epoch {epoch} 完成{PLAIN}, val_acc={accuracy:.4f}")
        print({"accuracy": accuracy})
    _mark(f"{_now()} - INFO - training completed")


def _save(model: Perceptron, rank: int, folder: Path, name: str, pace: float, cards: Cards) -> None:
    """Worker-0 writes the weights while all wait."""
    if rank == 0:
        np.savez(folder / name, *model.weights)
        print(f"saving checkpoint to {name}, {sum(weight.size for weight in model.weights)} weights")
        cards.wait()
    rest(SAVE_SECONDS * pace)


def _evaluate(model: Perceptron, epoch: int, images: digits.Array, labels: digits.Labels, pace: float) -> float:
    """Accuracy over the test shard, part by part, with a bar that overwrites itself."""
    right, began = 0.0, time.monotonic()
    part = len(labels) // BAR_STEPS
    for index in range(BAR_STEPS):
        where = slice(index * part, (index + 1) * part)
        right += model.accuracy(images[where], labels[where]) * part
        done = index + 1
        rate = done / max(1e-6, time.monotonic() - began)
        left = (BAR_STEPS - done) / rate
        bar = "█" * (done * 10 // BAR_STEPS)
        speed = f"[{left:04.1f}s, {rate:.2f}it/s]"
        sys.stderr.write(f"\rEval {epoch}: {done * 100 // BAR_STEPS:3}%|{bar:<10}| {done}/{BAR_STEPS} {speed}")
        rest(BAR_SECONDS * pace)
    sys.stderr.write("\n")
    return right / (part * BAR_STEPS)


def make_shards(folder: Path) -> None:
    """All data of the job; one of worker-1's shards is torn."""
    chance = np.random.default_rng(20261124)
    digits.save_shard(folder / "test.npz", *digits.make(chance, 24 * 40))
    for rank in (0, 1):
        for epoch in range(1, EPOCHS + 1):
            images, labels = digits.make(chance, STEPS * BATCH)
            torn = rank == 1 and epoch == TORN_EPOCH
            digits.save_shard(folder / f"shard-{rank}-{epoch}.npz", images, labels, torn=torn)


def _rank_table(job: str) -> dict[str, object]:
    servers = [
        {
            "server_id": f"192.168.0.{25 + rank}",
            "device": [{"device_id": "4", "device_ip": f"192.1.10.{254 - rank}", "rank_id": str(rank)}],
            "pod_name": f"ma-job-{job}-worker-{rank}",
        }
        for rank in (0, 1)
    ]
    return {"status": "completed", "version": "1.0", "server_count": "2", "server_list": servers}


def _mark(text: str) -> None:
    print(f"[ModelArts Service Log]{text}")


def _toolkit(level: str, message: str, place: str) -> None:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    tail = "Command=obs/upload Component=ma-training-toolkit Platform=ModelArts-Service"
    print(f'time="{now}" level={level} msg="{message}" file="{place}" {tail}')


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]


if __name__ == "__main__":
    main()
