# SPDX-License-Identifier: Apache-2.0
"""What a test leaves on the machine fails its session: planted in sessions of their own.

They run in namespaces of their own, with folders in place of /etc and /tmp, so that the machine
stays as it is here, too.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = ("unshare", "--uts", "--mount", "--net", *(["--map-root-user"] * (os.geteuid() != 0)))
CONFTEST = """
from pathlib import Path
from tests import untouched
untouched.END = 0.2
untouched.ETC, untouched.TMP = Path("etc").absolute(), Path("tmp").absolute()
pytest_plugins = ("tests.untouched",)
"""
TEST = """
import socket, subprocess, tempfile
from pathlib import Path

def run(*words):
    subprocess.run(words, check=True)

def test_that_plants(tmp_path):
    tempfile.mkdtemp(dir=tmp_path)
"""
#: A line that leaves something, and the words that say so.
PLANTS = {
    "socket.sethostname('planted')": r"the host's name was \S+, now it is planted",
    "Path('etc/planted').touch()": r"/etc/planted: it was not there, now it is mode",
    "Path('etc/motd').write_text('there')": r"/etc/motd: it was mode .* time \d+, now it is mode",
    "Path('etc/issue').unlink()": r"/etc/issue: it was mode .* now it is gone",
    "run('ip', 'link', 'set', 'lo', 'up')": "address lo up is new",
    "run('ip', 'address', 'add', '10.9.9.9/32', 'dev', 'lo')": "address lo 10.9.9.9/32 is new",
    "run('mount', '-t', 'tmpfs', 'none', '/mnt')": r"mount /mnt \(tmpfs\) is new",
    "tempfile.mkdtemp(prefix='mine')": r"/tepui-tests-\w+/mine\w+ is left",
    "run('mkdir', 'tmp/tepui-planted')": "/tmp/tepui-planted is left",
}


def session(folder: Path, *plants: str, workers: int = 0) -> tuple[int, str]:
    """Exit status and output of a pytest that runs a test with those lines."""
    for name in ("etc", "tmp"):
        (folder / name).mkdir()
    (folder / "etc/motd").write_text("hello")
    (folder / "etc/issue").write_text("1")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_planted.py").write_text(TEST + "".join(f"    {line}\n" for line in plants))
    (folder / "pytest.ini").touch()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "PYTEST"))}
    done = subprocess.run(
        (*NAMESPACES, sys.executable, "-m", "pytest", "-q", f"-n{workers}", "test_planted.py"),
        env=environment | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_session_that_leaves_nothing_passes(tmp_path: Path) -> None:
    status, said = session(tmp_path, "assert socket.gethostname()", workers=1)
    assert status == 0 and "as it was" not in said, said


def test_what_a_test_leaves_fails_its_session(tmp_path: Path) -> None:
    status, said = session(tmp_path, *PLANTS)
    assert status == 1 and "1 passed" in said, said
    _, _, differences = said.partition("the tests did not leave the machine as it was")
    for plant, complaint in PLANTS.items():
        assert re.search(complaint, differences), f"{plant}: {said}"


def test_a_process_is_found_though_its_parent_has_ended(tmp_path: Path) -> None:
    """Its environment is empty; its session and its group are its own."""
    plant = "run('sh', '-c', 'env -i setsid sleep 600 </dev/null >/dev/null 2>&1 &')"
    status, said = session(tmp_path, plant, workers=1)
    left = re.search(r"process (\d+) still runs: sleep 600", said)
    assert left, said
    os.kill(int(left[1]), signal.SIGKILL)
    assert status == 1 and "1 passed" in said


def test_what_others_have_in_tmp_is_theirs(tmp_path: Path) -> None:
    """A folder in which a process works that is not the session's: this test's own."""
    (tmp_path / "theirs").mkdir()
    sleeper = ("sleep", "600")
    with subprocess.Popen(sleeper, cwd=tmp_path / "theirs") as other:
        move = f"Path({str(tmp_path / 'theirs')!r}).rename('tmp/tepui-theirs')"
        status, said = session(tmp_path, move)
        other.kill()
    assert status == 0, said
