# SPDX-License-Identifier: Apache-2.0
"""Crafted datastores (see dscraft) neither crash nor hang the code that mounts and uses them, under
ASan and UBSan."""

import os

import pytest

from tests.unit import cunit, dscraft, dsvolume

#: 2,000 images in the usual run, 100,000 in soak.
PARTS = 8
EACH = 12_500 if os.environ.get("TEPUI_SOAK") else 250


@pytest.fixture(scope="module")
def bases() -> list[dscraft.Base]:
    unit: cunit.Unit = dsvolume.build()
    return [dscraft.base(unit, crashed=False), dscraft.base(unit, crashed=True)]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_crafted_images(bases: list[dscraft.Base], part: int) -> None:
    assert list(dscraft.failures(bases, range(part * EACH, (part + 1) * EACH))) == []
