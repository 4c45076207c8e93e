"""What a request costs grows with its size and not with the square of it.

Seconds mean little on a busy machine. So each request is made in two sizes, one four times the other: it may cost nine
times as much, where a square costs sixteen. Besides, no request may cost more than so many yardsticks: what a fixed
piece of work costs on the same machine at the same time.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable

import pytest
from integration.hostile.grown import WAYS, places
from integration.hostile.large import BEFORE, REQUESTS, Make
from integration.hostile.server import JSON as JSON_TYPE
from integration.hostile.server import Api, Request

SMALL, LARGE = 2_000, 8_000
MOST_GROWTH = 9.0
NEGLIGIBLE = 0.5  # yardsticks: what costs less in the large size has no growth that could be measured
MOST_YARDSTICKS = 30.0
SAMPLE = 15  # places of the schemas, others in each run


def yardstick() -> float:
    """Return what a fixed piece of work costs: about a twentieth of a second of a quiet core."""
    began = time.process_time()
    found: dict[str, list[int]] = {}
    for number in range(150_000):
        found.setdefault(f"k{number % 5_000}", []).append(number)
    assert len(found) == 5_000
    return time.process_time() - began


def cost(api: Api, make: Callable[[int], Request], size: int) -> float:
    """Return what a request costs, in yardsticks."""
    request = make(size)
    gc.collect()
    unit = yardstick()
    gc.disable()  # a collection of all objects falls into the larger request only, and would pass for growth
    try:
        answer = api.ask(request)
    finally:
        gc.enable()
    assert answer.code < 500, answer.message[:500]
    return answer.seconds / unit


def growth(api: Api, make: Callable[[int], Request]) -> str:
    """Return what is wrong with the cost of a request, empty if nothing is. A verdict is made sure of twice."""
    why = ""
    for _ in range(3):
        large = cost(api, make, LARGE)
        if large < NEGLIGIBLE:
            return ""
        small = cost(api, make, SMALL)
        if large <= MOST_YARDSTICKS and large <= MOST_GROWTH * small:
            return ""
        why = f"costs {small:.2f} yardsticks, and {large:.2f} when it is four times as large"
    return why


@pytest.fixture(scope="module", autouse=True)
def large_objects(api: Api) -> None:
    for path, body in BEFORE:
        answer = api("POST", path, body)
        assert answer.code == 201, answer


@pytest.mark.parametrize("make", REQUESTS.values(), ids=REQUESTS)
def test_a_large_request(api: Api, make: Make) -> None:
    assert growth(api, make) == ""


def test_a_place_of_an_object_that_is_large(api: Api) -> None:
    """A sample of the four thousand lists, maps and texts in the schemas of all kinds."""
    seed = random.randrange(1 << 32)
    chosen = random.Random(seed)
    faults = []
    for place in chosen.sample(list(places()), SAMPLE):
        way = chosen.choice(WAYS)

        def make(size: int, place=place, way=way) -> Request:  # type: ignore[no-untyped-def]
            return Request("POST", f"{place.collection}?dryRun=All", place.body(size, way), JSON_TYPE)

        if why := growth(api, make):
            faults.append(f"{place}, {way}: {why}")
    assert not faults, (seed, faults)
