# SPDX-License-Identifier: Apache-2.0
"""Crafted datastores (see dscraft) neither crash nor hang the code that mounts and uses them, under
ASan and UBSan."""

import contextlib
import os
from collections.abc import Callable

import pytest

from tepui.shell.datastore.layout import Type
from tests.unit import cunit, dscraft, dsvolume

#: 2,000 images in the usual run, 100,000 in soak.
PARTS = 8
EACH = 12_500 if os.environ.get("TEPUI_SOAK") else 250


@pytest.fixture(scope="module")
def bases() -> list[dscraft.Base]:
    unit: cunit.Unit = dsvolume.build()
    return [dscraft.base(unit, crashed=False), dscraft.base(unit, crashed=True)]


def of_type(base: dscraft.Base, kind: Type, which: int = 0) -> int:
    return [page for page, its in base.pages.items() if its == kind][which]


def special(base: dscraft.Base, name: str) -> int:
    return base.special[("folder", "tall", "small", "whole", "inline", "link").index(name)]


def loop_of_buckets(image: dscraft.Crafted, base: dscraft.Base) -> None:
    page = of_type(base, Type.BUCKET)
    other = of_type(base, Type.BUCKET, 1)
    image.put(page, (32, "Q", other))
    image.put(other, (32, "Q", page))


def full_block_in_a_loop(image: dscraft.Crafted, base: dscraft.Base) -> None:
    page = of_type(base, Type.META)
    image.put(page, (32, "Q", page), (40, "I", 256), *((48 + i, "B", 255) for i in range(32)))


def orphans_in_a_loop(image: dscraft.Crafted, base: dscraft.Base) -> None:
    small, whole = special(base, "small"), special(base, "whole")
    image.put(9, (48, "Q", small))
    for page, following in ((small, whole), (whole, small)):
        image.put(page, (44, "I", 0), (104, "Q", following))


def one_child_everywhere(image: dscraft.Crafted, base: dscraft.Base) -> None:
    page = of_type(base, Type.INDEX)
    for index in [page for page, its in base.pages.items() if its == Type.INDEX]:
        image.put(index, *((32 + 8 * i, "Q", page) for i in range(508)))


#: Where the code of 3926284 crashed or hung stands in parentheses; 2^40 buckets hung it as well.
CRAFTED: dict[str, Callable[[dscraft.Crafted, dscraft.Base], None]] = {
    "contents in the inode that are too long (inode.c:250, data.c:284)": lambda image, base: (
        image.put(special(base, "inline"), (56, "Q", 1 << 36))
    ),
    "a size above 64 TiB (inode.c:415)": lambda image, base: image.put(
        special(base, "tall"), (56, "Q", (1 << 46) + 1)
    ),
    "a tree of 9 levels": lambda image, base: image.put(special(base, "tall"), (88, "I", 9)),
    "2^63 buckets (dir.c:419)": lambda image, base: image.put(
        special(base, "folder"), (120, "Q", 1 << 63)
    ),
    "2^40 buckets": lambda image, base: image.put(special(base, "folder"), (120, "Q", 1 << 40)),
    "a chain of buckets that loops (dir.c:82)": loop_of_buckets,
    "a list of full metadata blocks that loops (meta.c:133)": full_block_in_a_loop,
    "a list of orphans that loops": orphans_in_a_loop,
    "a block outside of the volume": lambda image, base: image.put(
        of_type(base, Type.MAP), (32, "Q", 1 << 40)
    ),
    "a tree whose pages are their own children": one_child_everywhere,
    "a device's node": lambda image, base: image.put(special(base, "whole"), (40, "I", 0o060666)),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_structure(bases: list[dscraft.Base], name: str) -> None:
    """Refused with a reason, by the first operation that meets it; the volume is read-only."""
    base = bases[0]
    assert list(dscraft.failures([base], range(12), lambda i: CRAFTED[name](i, base))) == []
    image = dscraft.Crafted(base, 0)
    CRAFTED[name](image, base)
    use = dscraft.Use(image)
    image.disk.mount()
    use.walk()
    for _, _, inode in use.found:
        if use.is_file(inode):
            with contextlib.suppress(OSError):
                use.contents(inode)
    use.change()
    assert image.disk.ds.read_only
    assert image.unit.ffi.string(image.disk.ds.damage)
    image.disk.unmount()
    image.disk.destroy()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_crafted_images(bases: list[dscraft.Base], part: int) -> None:
    assert list(dscraft.failures(bases, range(part * EACH, (part + 1) * EACH))) == []
