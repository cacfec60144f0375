# SPDX-License-Identifier: Apache-2.0
"""sqlite3 on files: Debian packs no tests of its own for it. Runs beside CPython's."""

import multiprocessing
import sqlite3
import tempfile
import unittest
from pathlib import Path


def add_rows(path: str, first: int, count: int) -> None:
    """Another process's part of a table; each row is a transaction of its own."""
    with sqlite3.connect(path, timeout=60) as base:
        for number in range(first, first + count):
            base.execute("insert into t values (?, ?)", (number, "x" * number))
            base.commit()


class Sqlite(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name, "base"))

    def create(self, journal: str) -> sqlite3.Connection:
        base = sqlite3.connect(self.path, timeout=60)
        self.addCleanup(base.close)
        self.assertEqual(base.execute(f"pragma journal_mode={journal}").fetchone()[0], journal)
        base.execute("create table t (n integer primary key, v text)")
        base.commit()
        return base

    def check_rows(self, base: sqlite3.Connection, count: int) -> None:
        rows = base.execute("select n, length(v) from t order by n").fetchall()
        self.assertEqual(rows, [(n, n) for n in range(count)])
        self.assertEqual(base.execute("pragma integrity_check").fetchone()[0], "ok")

    def test_journals(self) -> None:
        """Every journal mode keeps what was committed and drops what was rolled back."""
        for journal in ("delete", "truncate", "persist", "memory", "wal"):
            with self.subTest(journal):
                base = self.create(journal)
                base.executemany("insert into t values (?, ?)", ((n, "y" * n) for n in range(200)))
                base.commit()
                base.execute("delete from t")
                base.rollback()
                self.check_rows(base, 200)
                base.close()
                Path(self.path).unlink()

    def test_locks(self) -> None:
        """A writer keeps another one out, and lets it in afterwards."""
        base = self.create("delete")
        base.execute("begin immediate")
        other = sqlite3.connect(self.path, timeout=0)
        self.addCleanup(other.close)
        with self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
            other.execute("begin immediate")
        base.rollback()
        other.execute("begin immediate")
        other.rollback()

    def test_processes(self) -> None:
        """Processes that write at once, with the write-ahead log in shared memory."""
        for journal in ("delete", "wal"):
            with self.subTest(journal):
                base = self.create(journal)
                fork = multiprocessing.get_context("fork")
                parts = [
                    fork.Process(target=add_rows, args=(self.path, i * 20, 20)) for i in (0, 1, 2)
                ]
                for part in parts:
                    part.start()
                for part in parts:
                    part.join()
                    self.assertEqual(part.exitcode, 0)
                self.check_rows(base, 60)
                base.close()
                Path(self.path).unlink()


if __name__ == "__main__":
    unittest.main()
