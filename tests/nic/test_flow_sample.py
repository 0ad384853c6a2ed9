"""FlowSample: every 61st frame, whatever the bursts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emu.headers import Headers
from emu.skb import Skb
from nic.flow_sample import EVERY, FlowSample


def headers(port: int) -> Headers:
    hdr = Headers()
    hdr.flow = (17, b"\x0a\0\0\1", b"\x0a\0\0\2", port, 80)
    return hdr


def frames(hdrs: list[Headers]) -> list[Skb]:
    return [Skb(hdr, n, 64, 22, 0, 0, 0, None, 50) for n, hdr in enumerate(hdrs)]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_the_bursts_do_not_decide_which_frames_are_looked_at(bursts: list[int]) -> None:
    flows = [headers(port) for port in range(3)]
    skbs = frames([flows[n * n % 3] for n in range(sum(bursts))])
    sample = FlowSample()
    polled = 0
    for burst in bursts:
        batch = skbs[polled : polled + burst]
        polled += burst
        if polled > sample.next_at:
            sample.look(batch, polled)
    looked_at = skbs[::EVERY]
    assert sample.frames == len(looked_at)
    expected = {hdr.flow: sum(skb.hdr is hdr for skb in looked_at) for hdr in flows}
    assert dict(sample.top(3)) == {flow: count for flow, count in expected.items() if count}


def test_an_elephant_has_its_share() -> None:
    elephant, mice = headers(1), [headers(port) for port in range(2, 1000)]
    skbs = frames([elephant if n % 2 else mice[n % 998] for n in range(EVERY * 400)])
    sample = FlowSample()
    sample.look(skbs, len(skbs))
    (flow, count), *_ = sample.top(1)
    assert flow[3] == 1
    assert count * 2 == sample.frames
