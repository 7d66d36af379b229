#!/usr/bin/env python3
"""Pictures of the viewer for docs/: the demo job and a few jobs beside it, in Chromium.

    make screenshots                              writes docs/images/*.png
    python3 tools/screenshots.py jobs chart       only these

It starts `logsvc demo` on a free port and ends it. Needs Chromium, its driver and the test tools.
"""

from __future__ import annotations

import base64
import json
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
WIDE, PHONE = (1200, 720), (390, 760)
WAIT_SECONDS = 60
DAY = 86_400
MOST_BYTES = 150_000
CHARTED = "llama-7b-sft-zh"  # the job whose chart is shown: it has two nodes of four cards
LINE = "78"  # in the midst of the training, before it fails
# What a team's list looks like: name, status, algorithm, days ago, owner, use of its cards in percent (None: not read).
OTHERS = (
    ("bert-large 预训练", "running", "bert", 0.1, "zhang", 38),
    ("resnet50-imagenet-8p", "succeeded", "resnet50", 0.9, "li.wei", 78),
    ("yolov8 检测微调", "failed", "yolov8", 1.2, "wang", 44),
    ("llama-7b-sft-zh", "running", "llama", 0.7, "zhang", 92),
    ("ocr-crnn-v3", "stopped", "crnn", 3.1, "chen", None),
    ("gpt2-small-lr-sweep-04", "succeeded", "gpt2", 4.4, "li.wei", 85),
    ("swin-transformer-baseline", "succeeded", "swin", 6.0, "wang", 67),
)


class Shot(NamedTuple):
    """One picture: where, what must be seen first, how big."""

    name: str
    place: Callable[[str], dict[str, str]]
    ready: str
    size: tuple[int, int] = WIDE


SHOTS = (
    Shot("jobs", lambda job: {}, ".jobs-table tbody tr:nth-child(5)"),
    Shot("chart", lambda job: {"job": id_of(CHARTED), "task": "worker-0", "line": "2400"}, ".chart-moment"),
    Shot("job", lambda job: {"job": job, "task": "worker-0", "line": LINE}, ".row.is-selected"),
    Shot("panes", lambda job: {"job": job, "line": LINE, "pane": f"worker-1|||{LINE}"}, ".log + .log .row.is-selected"),
    Shot("hits", lambda job: {"job": job, "line": LINE, "q": "loss", "scope": "job", "hits": "1"}, ".hits mark"),
    Shot("phone-chart", lambda job: {"job": id_of(CHARTED), "task": "worker-0"}, ".u-over", PHONE),
    Shot("phone-jobs", lambda job: {}, ".jobs-table tbody tr:nth-child(5)", PHONE),
    Shot("phone-job", lambda job: {"job": job, "line": LINE, "q": "loss"}, ".pane-rows mark", PHONE),
)
# What a PNG shows: [width, height, base64 of its RGBA].
PIXELS = """
const done = arguments[1]
const bytes = Uint8Array.from(atob(arguments[0]), (character) => character.charCodeAt(0))
createImageBitmap(new Blob([bytes])).then((image) => {
  const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d')
  canvas.drawImage(image, 0, 0)
  const { data } = canvas.getImageData(0, 0, image.width, image.height)
  let text = ''
  for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768))
  done([image.width, image.height, btoa(text)])
})
"""
# On a phone the chart is folded away at first.
UNFOLDED = """
if (!document.querySelector('.chart')) document.querySelector('.job-use')?.click()
return Boolean(document.querySelector('.chart'))
"""
LOOKS = {"en-light": ("en-US,en", "light"), "zh-dark": ("zh-CN,zh", "dark")}


def main() -> int:
    """Exit status: 0 all pictures are there, 1 one is too big for a page of documentation."""
    shots = [shot for shot in SHOTS if not sys.argv[1:] or shot.name in sys.argv[1:]]
    with demo() as (url, token, job), browser() as chrome:
        for name, status, algorithm, days, owner, percent in OTHERS:
            add_job(url, token, name, status, algorithm, days, owner)
            if percent is not None:
                add_readings(url, token, name, status, days, percent)
        too_big = [path for shot in shots for look in LOOKS if (path := take(chrome, url, token, job, shot, look))]
    for path in too_big:
        print(f"{path.name}: more than {MOST_BYTES} bytes", file=sys.stderr)
    return 1 if too_big else 0


@contextmanager
def demo() -> Iterator[tuple[str, str, str]]:
    """Address, token and job of a demo whose training has ended."""
    command = [sys.executable, "-m", "logsvc", "demo", "--port", "0", "--for", "600"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        told = ""
        assert process.stdout is not None
        for line in process.stdout:
            told += line
            if "the job has ended" in line:
                break
        address = re.search(r"viewer: (http://\S+)/\?token=(\S+)", told)
        job = re.search(r"training job (\S+) runs", told)
        if not address or not job:
            raise SystemExit(f"the demo said something else: {told}")
        yield address[1], address[2], job[1]
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for option in ("--headless=new", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={profile}"):
            options.add_argument(option)
        chrome = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            yield chrome
        finally:
            chrome.quit()


def add_job(url: str, token: str, name: str, status: str, algorithm: str, days: float, owner: str) -> None:
    job = id_of(name)
    said = {"name": name, "algorithm": algorithm, "owner": owner, "created_at": rfc3339(time.time() - days * DAY)}
    said |= {"status": status, "accelerator": "nvidia"}
    call(url, token, "PUT", f"/jobs/{job}", json.dumps(said).encode())
    log = b"".join(b"step %d loss %.4f\n" % (step, 7 / (step + 3)) for step in range(4000))
    query = {"job": job, "task": "worker-0", "path": f"modelarts-job-{job}-worker-0.log", "offset": 0}
    call(url, token, "POST", f"/chunks?{urllib.parse.urlencode(query)}", log)


def add_readings(url: str, token: str, name: str, status: str, days: float, usual: int) -> None:
    """A day of its cards, or less: they work, save, wait for a while, and one of them never does much."""
    chance, now = random.Random(name), time.time()
    start = now - min(days, 1.0) * DAY
    for worker in range(2):
        samples = []
        for step in range(int((now - start) / 60) + 1):
            at = start + 60 * step
            idle = status == "running" and 1.1 * 3600 < now - at < 1.6 * 3600
            for card in range(4):
                use = usual - 45 * ((worker, card) == (1, 2)) + chance.uniform(-4, 4)
                use = 4 + chance.uniform(-3, 3) if step % 75 < 4 else use
                percent = round(max(0.0, min(100.0, chance.uniform(0, 2) if idle else use)), 1)
                samples.append({"at": rfc3339(at), "device": card, "kind": "gpu", "utilization_percent": percent})
        body = {"job": id_of(name), "task": f"worker-{worker}"}
        for first in range(0, len(samples), 9000):
            part = json.dumps({**body, "samples": samples[first : first + 9000]})
            call(url, token, "POST", "/samples", part.encode())
    if status != "running":
        call(url, token, "PUT", f"/jobs/{id_of(name)}", json.dumps({"status": status}).encode())


def id_of(name: str) -> str:
    """The same each time, so that a picture changes only where the page does."""
    return f"{zlib.crc32(name.encode()):08x}-9d3e-4a07-8c15-5f2b7e60a1d4"


def rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def call(url: str, token: str, method: str, path: str, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=30):
        pass


def take(chrome: webdriver.Chrome, url: str, token: str, job: str, shot: Shot, look: str) -> Path | None:
    """Write the picture; its path where it is too big."""
    languages, theme = LOOKS[look]
    width, height = shot.size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    chrome.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    )
    agent = chrome.execute_script("return navigator.userAgent")
    chrome.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": languages})
    chrome.get("about:blank")
    chrome.get(f"{url}/?token={token}#{urllib.parse.urlencode(shot.place(job))}")
    if shot.name == "phone-chart":
        WebDriverWait(chrome, WAIT_SECONDS).until(lambda _: chrome.execute_script(UNFOLDED))
    script = "return Boolean(document.querySelector(arguments[0])) && !document.querySelector('.is-loading')"
    WebDriverWait(chrome, WAIT_SECONDS).until(lambda _: chrome.execute_script(script, shot.ready))
    time.sleep(1.5)  # counts and the minimap come a moment later; nothing hangs on them
    picture = smaller(chrome, chrome.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])
    path = IMAGES / f"{shot.name}-{look}.png"
    path.write_bytes(picture)
    return path if len(picture) > MOST_BYTES else None


def smaller(chrome: webdriver.Chrome, picture: str) -> bytes:
    """A PNG (base64) with at most 256 colours: a third of the size, and nobody sees the difference."""
    chrome.get("about:blank")
    width, height, pixels = chrome.execute_async_script(PIXELS, picture)
    rgba = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(-1, 4)
    colours, index = np.unique(rgba[:, :3] & 0xFC | 0x02, axis=0, return_inverse=True)
    most = np.argsort(np.bincount(index.ravel()))[::-1][:256]
    distance = ((colours[:, None, :].astype(int) - colours[most][None, :, :]) ** 2).sum(axis=2)
    rows = distance.argmin(axis=1)[index.ravel()].astype(np.uint8).reshape(height, width)
    palette = colours[most].copy()
    palette[(palette >= 0xFC).all(axis=1)] = 0xFF  # white stays white
    unfiltered = np.pad(rows, ((0, 0), (1, 0)))  # a row begins with its filter: none
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(unfiltered.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


if __name__ == "__main__":
    sys.exit(main())
