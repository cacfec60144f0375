# SPDX-License-Identifier: Apache-2.0
"""The crash tests catch what they are for: each of these defects, planted in the source, is found.

A defect is one replacement in one file; the copy is built without sanitizers. What finds it are the
crash states of test_datastore_crash, with seeds tried in order until one does."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit import cunit, dsvolume
from tests.unit.test_datastore_crash import FullWorkload, Workload, failures

#: Those without discards and on a full volume find the most.
SEEDS = (3, 2, 0, 7, 6, 1)
#: Long enough for the journal to fill and be emptied.
STEPS = 300


@dataclass(frozen=True, slots=True)
class Defect:
    file: str
    old: str
    new: str


DEFECTS = {
    "a record is not flushed before it counts": Defect(
        "journal.c",
        "ds->record, pages);\n\t}\n\tif (err == 0)\n\t\terr = blk_urgent_flush(ds->dev);",
        "ds->record, pages);\n\t}",
    ),
    "a rename is two transactions": Defect(
        "names.c",
        "\tif (err == 0)\n\t\terr = ds_dir_remove(ds, dir, name);\n\tif (err == 0 && directory)",
        "\tif (err == 0)\n\t\terr = ds_commit(ds);\n\tif (err == 0)\n"
        "\t\terr = ds_dir_remove(ds, dir, name);\n\tif (err == 0 && directory)",
    ),
    "the tail moves before the pages are in place": Defect(
        "journal.c",
        "\tlist_for_each(p, &ds->behind_pages, dirty) {\n\t\terr = blk_urgent_rw(",
        "\tds->tail = ds->head;\n\tds->tail_sequence = ds->sequence;\n\terr = write_tail(ds);\n"
        "\tlist_for_each(p, &ds->behind_pages, dirty) {\n\t\terr = blk_urgent_rw(",
    ),
    "a record's checksum is not looked at": Defect(
        "journal.c",
        "return crc32c(0, ds->record + DS_PAGE, (size_t)rec->count << DS_PAGE_SHIFT) ==\n"
        "\t       rec->images_crc;",
        "return 1;",
    ),
    "replay ends after one record": Defect(
        "journal.c", "\t\tcount++;\n", "\t\tcount++;\n\t\tbreak;\n"
    ),
    "replay leaves out a record's last page": Defect(
        "journal.c",
        "for (unsigned i = 0; i < rec->count; i++) {\n\t\tvoid *image",
        "for (unsigned i = 0; i + 1 < rec->count; i++) {\n\t\tvoid *image",
    ),
    "a first write marks its whole block written": Defect(
        "data.c",
        "for (unsigned i = first; i <= last && err == 0; i++)",
        "for (unsigned i = (last = DS_PIECES - 1, 0); i <= last && err == 0; i++)",
    ),
    "a truncation is not on the list of what a mount ends": Defect(
        "inode.c",
        "\t\tino->flags |= DS_TRUNCATING;\n\t\terr = orphan_add(ds, ip);",
        "\t\tino->flags |= DS_TRUNCATING;",
    ),
    "a record does not wait for the data that it publishes": Defect(
        "journal.c",
        "\tif (ds->new_data)\n\t\terr = blk_urgent_flush(ds->dev);\n",
        "",
    ),
    "a freed block is used again before the commit": Defect(
        "alloc.c", "err = busy_add(ds, block, ds->sequence);", "err = 0;"
    ),
}


def plain(source: str) -> str:
    """C without comments and blank lines, so that a defect's place does not hang on them."""
    return re.sub(r"\n\s*\n", "\n", re.sub(r"[ \t]*/\*.*?\*/", "", source, flags=re.DOTALL))


def planted(defect: Defect, folder: Path) -> cunit.Unit:
    """The unit with the defect in it."""
    shutil.copytree(cunit.ROOT / dsvolume.FOLDER, folder)
    source = folder / defect.file
    text = plain(source.read_text())
    assert text.count(defect.old) == 1, f"{defect.file} has changed: plant the defect anew"
    source.write_text(text.replace(defect.old, defect.new))
    return dsvolume.build("datastore-defect", folder=folder, options=("-O1", *UNCHECKED))


UNCHECKED = ("-fno-sanitize=all", "-w")


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFECTS)
def test_defect_is_caught(name: str, tmp_path: Path) -> None:
    unit = planted(DEFECTS[name], tmp_path / "ds")
    assert any(
        True
        for seed in SEEDS
        for _ in failures(unit, seed, STEPS, 100, FullWorkload if seed % 4 == 3 else Workload)
    )
