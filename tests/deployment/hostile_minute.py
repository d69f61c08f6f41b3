"""A minute of real and hostile requests at once against a service of its own process.

python -m tests.deployment.hostile_minute MODEL.onnx IMAGES.npz [SECONDS]: IMAGES has `images` and, by MODEL, `scores`.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np
import psutil
from PIL import Image

from deployment.formats.opening import open_artefact

# Real clients, and connections that are opened at once.
CLIENTS, CONNECTIONS = 8, 200
GIGABYTE = 10**9
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
# Statuses that a hostile request may get; 0: the connection was closed.
REFUSALS = {0, 400, 408, 413, 415, 422, 503}
# Seconds until a service has started or ended on a busy machine; Ray alone takes half a minute of two free cores.
PATIENCE = 300
SERVING = re.compile(r"on http://[^:]+:(\d+)")
ACCEPTED = re.compile(r"request=(\S+) .*status=(\d+)")


@dataclass
class Tally:
    """The counts and times of a minute.

    seconds: of each real answer; memory: of the process, in bytes, over time; answered: requests by their names.
    """

    seconds: list[float] = field(default_factory=list)
    real: Counter[int] = field(default_factory=Counter)
    hostile: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    stopping: bool = False

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.seconds, q)) if self.seconds else float("nan")


class OwnService:
    """The service as a process; its log in a file."""

    def __init__(self, model: Path, log: Path, *words: str) -> None:
        command = [sys.executable, "-m", "deployment.serve", str(model), "--port", "0", *words]
        self.log = log
        with log.open("wb") as target:
            self.process = subprocess.Popen(command, stderr=target, stdout=target)
        try:
            self.port = self._port()
        except RuntimeError:
            self.process.kill()
            self.process.wait()
            raise

    def _port(self) -> int:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            if found := SERVING.search(self.log.read_text()):
                return int(found[1])
            time.sleep(0.05)
        raise RuntimeError(f"it did not start: {self.log.read_text()}")

    @property
    def memory(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def requests(self) -> dict[str, int]:
        """Return the statuses of all requests that its log names."""
        return {name: int(status) for name, status in ACCEPTED.findall(self.log.read_text())}


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image.squeeze()).save(content, "PNG")
    return content.getvalue()


def png_bomb(side: int) -> bytes:
    """A PNG of many zeros: small as a file, side × side pixels when decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def raw(port: int, *parts: bytes, pause: float = 0.0, repeat: int = 1) -> int:
    """Send bytes, the last part several times; return the status of the answer, 0 for none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        # A service that refuses says so before all is sent.
        with suppress(OSError):
            for part in [*parts[:-1], *[parts[-1]] * repeat]:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        line = await asyncio.wait_for(reader.readline(), 60)
        return int(line.split()[1]) if line else 0
    except OSError:
        return 0
    finally:
        writer.transport.abort()


def upload(content: bytes) -> bytes:
    body = PART + content + b"\r\n--x--\r\n"
    return HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def connections(port: int) -> int:
    """Open many connections that say nothing, or only a part of a request, and leave them."""
    opened = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)), return_exceptions=True
    )
    pairs = [pair for pair in opened if not isinstance(pair, BaseException)]
    try:
        for _, writer in pairs[::2]:
            writer.write(HEAD[:40])
        await asyncio.sleep(1)
    finally:
        for _, writer in pairs:
            writer.transport.abort()
    return 0


def attacks(port: int, good: bytes) -> dict[str, Callable[[], Awaitable[int]]]:
    """Return hostile requests by name."""
    bomb, huge = png_bomb(30_000), png_bomb(10_000)
    length = b"Content-Length: %d\r\n\r\n" % GIGABYTE
    chunk = b"%x\r\n" % 2**20 + bytes(2**20) + b"\r\n"
    return {
        "wrong type": lambda: raw(port, upload(b"<html>" * 100)),
        "truncated": lambda: raw(port, upload(good[: len(good) // 2])),
        "cut off": lambda: raw(port, HEAD + b"Connection: close\r\nContent-Length: 5000\r\n\r\n", PART),
        "1 GB body": lambda: raw(port, HEAD + length, bytes(2**20), repeat=GIGABYTE // 2**20),
        "1 GB body, chunked": lambda: raw(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk, repeat=1000),
        "PNG bomb": lambda: raw(port, upload(bomb)),
        "10,000 × 10,000": lambda: raw(port, upload(huge)),
        "slow client": lambda: raw(port, HEAD + b"Content-Length: 100000\r\n\r\n", PART, b"x", pause=0.5, repeat=100),
        "slow head": lambda: raw(port, HEAD, b"X-A: b\r\n", pause=0.5, repeat=100),
        "no HTTP": lambda: raw(port, b"\x16\x03\x01" + bytes(300)),
        "200 connections": lambda: connections(port),
    }


async def real_client(port: int, pictures: list[bytes], expected: np.ndarray, ends: float, tally: Tally) -> None:
    """Ask for answers one after the other, and compare each with what the model says."""
    rng = np.random.default_rng()
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        while time.monotonic() < ends:
            numbers = rng.integers(0, len(pictures), rng.integers(1, 5))
            files = [("images", ("a.png", pictures[number])) for number in numbers]
            began = time.monotonic()
            try:
                found = await client.post("/predict", files=files)
            except httpx2.TransportError as error:
                tally.real[0] += 1
                if not tally.stopping:
                    tally.wrong.append(repr(error))
                continue
            tally.real[found.status_code] += 1
            tally.answered.add(found.headers["x-request-id"])
            if found.status_code == 503:
                await asyncio.sleep(float(found.headers["retry-after"]) * rng.random())
                continue
            tally.seconds.append(time.monotonic() - began)
            if found.status_code != 200:
                tally.wrong.append(found.text)
                continue
            scores = np.array([[*row["probabilities"].values()] for row in found.json()["images"]])
            if not np.allclose(scores, expected[numbers], atol=1e-4):
                tally.wrong.append(f"{scores} is not {expected[numbers]}")


async def attacker(name: str, attack: Callable[[], Awaitable[int]], ends: float, tally: Tally) -> None:
    while time.monotonic() < ends:
        status = await attack()
        tally.hostile[f"{name}: {status or 'closed'}"] += 1
        if status not in REFUSALS:
            tally.wrong.append(f"{name} got {status}")
        await asyncio.sleep(0.2)


async def watch(service: OwnService, ends: float, tally: Tally) -> None:
    while time.monotonic() < ends:
        tally.memory.append(service.memory)
        await asyncio.sleep(0.5)


async def play(service: OwnService, images: np.ndarray, scores: np.ndarray, seconds: float) -> Tally:
    """Let real and hostile clients ask at once."""
    tally, pictures = Tally(), [png(image) for image in images]
    hostile = attacks(service.port, pictures[0])
    ends = time.monotonic() + seconds
    real = [real_client(service.port, pictures, scores, ends, tally) for _ in range(CLIENTS)]
    others = [asyncio.create_task(attacker(name, attack, ends, tally)) for name, attack in hostile.items()]
    await asyncio.gather(*real, watch(service, ends, tally))
    for task in others:
        task.cancel()
    for found in await asyncio.gather(*others, return_exceptions=True):
        if isinstance(found, Exception):
            raise found
    # Connections that were left close in the loop's next rounds.
    await asyncio.sleep(0.1)
    return tally


async def stop_under_load(service: OwnService, images: np.ndarray, scores: np.ndarray, after: float) -> Tally:
    """Stop a service while real clients ask; what they see after the signal is a closed door."""
    tally, pictures = Tally(), [png(image) for image in images]
    ends = time.monotonic() + after
    real = [real_client(service.port, pictures, scores, ends + 1, tally) for _ in range(CLIENTS)]

    async def stop() -> None:
        await asyncio.sleep(after)
        tally.stopping = True
        code = await asyncio.to_thread(service.stop)
        if code:
            tally.wrong.append(f"exit code {code}")

    await asyncio.gather(*real, stop())
    return tally


def report(tally: Tally) -> dict[str, object]:
    """Return the figures of a run, as JSON holds them."""
    memory = np.array(tally.memory or [0]) / 2**20
    return {
        "real answers by status": {str(status): count for status, count in sorted(tally.real.items())},
        "seconds, median": round(tally.quantile(0.5), 4),
        "seconds, p99": round(tally.quantile(0.99), 4),
        "hostile": dict(sorted(tally.hostile.items())),
        "MiB at first, at most, at last": [round(float(x), 1) for x in (memory[0], memory.max(), memory[-1])],
        "wrong": tally.wrong[:5],
    }


def attack(model: Path, images: np.ndarray, log: Path, seconds: float) -> tuple[Tally, Tally, set[str]]:
    """Play for some seconds, then stop under load. Returns both tallies and the answers that nobody received."""
    scores = open_artefact(model).predict(images)
    service = OwnService(model, log)
    try:
        tally = asyncio.run(play(service, images, scores, seconds))
        tally.memory.append(service.memory)
        after = asyncio.run(stop_under_load(service, images, scores, 3))
    finally:
        service.process.kill()
    answered = {name for name, status in service.requests().items() if status == 200}
    return tally, after, answered - tally.answered - after.answered


def main(model: Path, images: np.ndarray, seconds: float) -> int:
    """Run the whole minute, then a stop under load; print both."""
    log = Path("hostile_minute.log")
    tally, after, lost = attack(model, images, log, seconds)
    print(json.dumps(report(tally), indent=2, ensure_ascii=False))
    print(json.dumps(report(after) | {"accepted and lost": sorted(lost)}, indent=2))
    print(log.read_text().splitlines()[-1])
    return int(bool(tally.wrong or after.wrong or lost))


if __name__ == "__main__":
    with np.load(sys.argv[2], allow_pickle=False) as arrays:
        sys.exit(main(Path(sys.argv[1]), arrays["images"], float(sys.argv[3]) if len(sys.argv) > 3 else 60.0))
