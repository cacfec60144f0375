# SPDX-License-Identifier: Apache-2.0
"""How far NTP moves the clock, and who says so."""

import asyncio

import pytest

from tepui.shell.hostd import ntp
from tepui.shell.hostd.ntp import STEP_MAX_NS, Answer, Clock


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    monkeypatch.setattr(ntp, "step", made.append)
    return made


def servers(monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    async def ask(server: str, port: int) -> Answer:
        return Answer(2, offset, 0)

    monkeypatch.setattr(ntp, "ask", ask)


def test_a_far_time_is_not_believed_unasked(
    steps: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    clock.set(["a"])
    for offset in (STEP_MAX_NS + 1, -STEP_MAX_NS - 1):
        servers(monkeypatch, offset)
        asyncio.run(clock.once())
        assert steps == [] and "switch NTP off and on" in capsys.readouterr().out
    servers(monkeypatch, STEP_MAX_NS)
    asyncio.run(clock.once())
    assert steps == [STEP_MAX_NS]


def test_a_person_asks_once(steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    servers(monkeypatch, 10 * STEP_MAX_NS)
    clock.set([])
    clock.set(["a"], asked=True)
    asyncio.run(clock.once())
    asyncio.run(clock.once())
    assert steps == [10 * STEP_MAX_NS]
    clock.set(["a"], asked=True)  # another part of the configuration changed
    asyncio.run(clock.once())
    assert len(steps) == 1
