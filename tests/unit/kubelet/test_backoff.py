"""The delays of crashing containers and of images that do not come: doubled up to a limit, and forgotten."""

from __future__ import annotations

from kubelet.model.backoff import Backoff, after_retry, waits_until


def test_the_first_failure_is_retried_at_once() -> None:
    assert waits_until(None, 100.0) is None


def test_each_retry_doubles_the_delay_up_to_five_minutes() -> None:
    entry, now, delays = None, 0.0, []
    for _ in range(8):
        entry = after_retry(entry, now, now)
        delays.append(entry.delay)
        assert waits_until(entry, now) == now + entry.delay
        now += entry.delay
    assert delays == [10, 20, 40, 80, 160, 300, 300, 300]


def test_ten_quiet_minutes_forget_it() -> None:
    entry = Backoff(300.0, updated=1000.0)
    assert waits_until(entry, 1600.0) == 1900.0
    assert waits_until(entry, 1601.0) is None
    assert after_retry(entry, 1601.0, 1601.0) == Backoff(10.0, 1601.0)
