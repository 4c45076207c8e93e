"""A controller trusts its cache only when it has seen everything it asked for."""

from machinery.expectations import EXPIRES_AFTER, Expectations


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_creations() -> None:
    expectations = Expectations()
    assert expectations.satisfied("a")
    expectations.expect_creations("a", 2)
    expectations.creation_seen("a")
    assert not expectations.satisfied("a")
    expectations.creation_seen("a")
    expectations.creation_seen("a")  # another's pod
    assert expectations.satisfied("a")
    expectations.expect_creations("a", 1)
    assert not expectations.satisfied("a")


def test_a_deletion_is_counted_once() -> None:
    expectations = Expectations()
    expectations.expect_deletions("a", ["u1", "u2"])
    expectations.deletion_seen("a", "u1")
    expectations.deletion_seen("a", "u1")
    expectations.deletion_seen("b", "u2")
    assert not expectations.satisfied("a")
    expectations.deletion_seen("a", "u2")
    assert expectations.satisfied("a")


def test_what_never_comes_expires() -> None:
    clock = Clock()
    expectations = Expectations(clock)
    expectations.expect_creations("a", 1)
    clock.now = EXPIRES_AFTER + 1
    assert expectations.satisfied("a")
    expectations.expect_creations("a", 1)
    assert not expectations.satisfied("a")
    expectations.creation_seen("a")
    assert expectations.satisfied("a")


def test_forgotten() -> None:
    expectations = Expectations()
    expectations.expect_creations("a", 1)
    expectations.forget("a")
    assert expectations.satisfied("a")
