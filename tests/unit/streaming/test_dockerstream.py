"""Docker's multiplexed frames, cut anywhere."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubelet.model.streaming import STDERR, STDOUT
from kubelet.runtime.dockerstream import Demultiplexer


@given(
    st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(min_size=1, max_size=50)), max_size=8), st.data()
)
def test_frames_may_be_cut_anywhere(frames: list[tuple[int, bytes]], data: Any) -> None:
    raw = b"".join(bytes([stream, 0, 0, 0]) + len(content).to_bytes(4, "big") + content for stream, content in frames)
    demultiplexer, found = Demultiplexer(), {STDOUT: b"", STDERR: b""}
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        for stream, content in demultiplexer.feed(raw[:size]):
            found[stream] += content
        raw = raw[size:]
    for stream, content in found.items():
        assert content == b"".join(sent for number, sent in frames if number == stream)
