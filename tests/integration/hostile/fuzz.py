"""Send requests that no honest client would send, until the time is up: ``make fuzz SEED=1 TIME=600``.

What fails is printed with its seed and position, by which ``make fuzz SEED=1 AT=4711`` sends it again (to a server that
has one object of each kind). A case that was found and mended belongs into ``regressions.yaml``.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from integration.hostile.generator import SEEDS, Generator, collection, kind_of
from integration.hostile.server import NAME, STILL_OBJECTS, THING, THINGS, Answer, Api, Request

REFRESH = 1000  # after so many requests the objects that were deleted are created again
DEAR = 3.0  # seconds of the processor that no request of this size costs
SLOW = 30.0  # seconds in which it is answered, on a machine that has much else to do
# Answers of 500 and above that upstream gives as well.
_ALLOWED = (
    "failed to allocate",
    "no endpoints available for service",
)


class Hang(Exception):
    """A request was not answered in time."""


def fault(answer: Answer) -> str:
    """Return what is wrong with an answer, empty if nothing is."""
    if answer.seconds > DEAR:
        return f"{answer.seconds:.1f} s of the processor"
    if answer.code >= 500 and not any(words in answer.message for words in _ALLOWED):
        return f"{answer.code} {answer.message}"
    if answer.code >= 400:
        try:
            status = answer.json
            if (status["kind"], status["code"]) != ("Status", answer.code) or not status["message"]:
                return f"no proper Status: {answer.body[:500]!r}"
        except (ValueError, TypeError, KeyError):
            if answer.body and "json" in dict(answer.headers).get("Content-Type", ""):
                return f"no Status: {answer.body[:500]!r}"
    return ""


def send(api: Api, request: Request) -> str:
    """Send a request; return what is wrong with the answer, empty if nothing is."""

    def late(*_: Any) -> None:
        raise Hang(f"no answer in {SLOW} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SLOW)
    try:
        return fault(api.ask(request))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def prepare(api: Api) -> None:
    """Create an object of each kind, where it is not there (any longer), so that not all requests lead to a 404."""
    for seed in SEEDS:
        metadata = {**seed["metadata"], "name": NAME}
        metadata.pop("namespace", None)
        api("POST", collection(kind_of(seed)), {**seed, "metadata": metadata})
    api("POST", THINGS, THING)
    for path, body in STILL_OBJECTS:  # a request may have deleted all objects of their kinds
        api("POST", path, body)


def run(api: Api, seed: int, seconds: float) -> tuple[int, list[str]]:
    """Send requests for some seconds; return how many there were, and a text about each that failed."""
    generator, failures = Generator(seed), []
    deadline = time.monotonic() + seconds
    position = 0
    while time.monotonic() < deadline:
        if position % REFRESH == 0:
            prepare(api)
        request = generator.request(position)
        if why := send(api, request):
            failures.append(f"make fuzz SEED={seed} AT={position}\n  {request.shown()}\n  {why}")
        position += 1
    return position, failures


def main() -> int:
    logging.disable(logging.CRITICAL)
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    with tempfile.TemporaryDirectory() as folder:
        api = Api(Path(folder))
        if at := os.environ.get("AT"):
            logging.disable(logging.NOTSET)
            prepare(api)
            request = Generator(seed).request(int(at))
            print(request.shown(), api.ask(request), sep="\n")
            api.stop()
            return 0
        count, failures = run(api, seed, float(os.environ.get("TIME") or 60))
        api.stop()
    print(*failures, f"seed {seed}: {count} requests, {len(failures)} failures", sep="\n")
    print(Counter(text.rpartition("\n  ")[2][:100] for text in failures).most_common(40))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
