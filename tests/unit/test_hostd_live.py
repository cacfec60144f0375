# SPDX-License-Identifier: Apache-2.0
"""hostd as a process here: HTTPS, consoles over WebSocket, SSH with OpenSSH's ssh."""

import http.client
import json
import os
import pty
import re
import select
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tepui.shell.command import Role
from tepui.shell.config import store
from tepui.shell.config.document import Document, Ssh
from tepui.shell.hostd import sshkeys
from tepui.shell.hostd.accounts import AccountError, Accounts
from tests.unit.hostd_process import PASSWORD, TEPUI, Hostd, https, resident, running, until


@pytest.fixture(scope="module")
def hostd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostd]:
    with running(tmp_path_factory.mktemp("hostd")) as host:
        yield host


def test_https_with_the_certificate_of_the_first_boot(hostd: Hostd) -> None:
    connection = https(hostd, ssl.create_default_context(cafile=str(hostd.state / "ssl/rui.crt")))
    body = json.dumps({"account": "root", "password": PASSWORD})
    connection.request("POST", "/api/session", body)
    token = json.load(connection.getresponse())["token"]
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("POST", "/api/commands/system/version/get", "{}", headers)
    answer = connection.getresponse()
    assert answer.status == 503 and "error" in json.load(answer)  # no vmkernel here
    connection.close()
    assert (hostd.state / "ssl/rui.key").stat().st_mode & 0o777 == 0o600


def test_memory_comes_back_when_connections_have_gone(hostd: Hostd) -> None:
    context = ssl.create_default_context(cafile=str(hostd.state / "ssl/rui.crt"))
    before, many = resident(hostd), [https(hostd, context) for _ in range(150)]
    for connection in many:
        connection.request("GET", "/api/openapi.json")
        assert connection.getresponse().read()
    grown = resident(hostd) - before
    for connection in many:
        connection.close()
    deadline = time.monotonic() + 60
    while (kept := resident(hostd) - before) > grown // 5:
        assert time.monotonic() < deadline, f"{kept} of {grown} KiB"
        time.sleep(0.1)


def test_the_shell_from_a_workstation(hostd: Hostd) -> None:
    done = hostd.tepui("shell", *hostd.options(), given="echo it is $((6*7)); exit 3\n")
    assert "it is 42" in done.stdout, done.stderr
    assert done.returncode == 3
    done = hostd.tepui(*hostd.options(), "vm", "console", "-w", "1")
    assert done.returncode == 1 and "/run/vmkernel.sock" in done.stderr


def test_consoles_are_for_those_who_may(hostd: Hostd) -> None:
    done = hostd.tepui(
        *hostd.options(), "system", "account", "add", "-i", "eve", "--password-stdin",
        given="Battery staple\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    environment = hostd.environment | {"TEPUI_PASSWORD": "Battery staple"}
    line = [TEPUI, "shell", *hostd.options(), "--user", "eve"]
    done = subprocess.run(line, env=environment, input="", capture_output=True, text=True)
    assert done.returncode == 1 and "needs the role administrator" in done.stderr
    log = (hostd.state / "audit.log").read_text()
    assert 'user="eve" source="127.0.0.1" line="system console" reason="needs' in log
    assert "battery" not in log


def test_a_console_has_the_window_of_its_person(hostd: Hostd) -> None:
    """A terminal here, 91 columns wide; raw, so that Ctrl-C goes to the program there."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", "91", "rows", "17"], stdin=slave, check=True)
    line = [TEPUI, "shell", *hostd.options()]
    with subprocess.Popen(
        line, env=hostd.environment, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        seen = b""

        def until(pattern: bytes) -> None:
            nonlocal seen
            while not re.search(pattern, seen):
                assert select.select([master], [], [], 60)[0], seen
                seen += os.read(master, 4096)

        # One job from the size to the end: whenever Ctrl-C comes, it has the terminal.
        os.write(master, b"sh -c 'stty size; exec cat'\n")
        until(rb"17 91\r?\n")
        os.write(master, b"\x03")
        until(rb"\^C\r?\n[#$] ")  # what is typed before the prompt the shell may throw away
        os.write(master, b"echo a=$?\n")
        until(rb"a=130\r?\n")
        os.write(master, b"\x1d")
        assert process.wait(30) == 255
    os.close(master)


def test_many_connections_at_once(hostd: Hostd) -> None:
    """200 that say nothing and 50 that ask again and again; then all is as it was."""
    context = ssl.create_default_context(cafile=str(hostd.state / "ssl/rui.crt"))
    folder = Path(f"/proc/{(hostd.state / 'hostd.pid').read_text().strip()}/fd")

    def connect() -> http.client.HTTPSConnection:
        return https(hostd, context)

    def busy(_number: int) -> list[int]:
        connection, seen = connect(), []
        for _ in range(4):
            connection.request("POST", "/api/commands/system/version/get", "{}")
            answer = connection.getresponse()
            answer.read()
            seen.append(answer.status)
        connection.close()
        return seen

    before = len(list(folder.iterdir()))
    idle = [connect() for _ in range(200)]
    # Here, since those that say nothing for long are ended (test_hostd_flood.py).
    assert len(list(folder.iterdir())) >= before + 200
    with ThreadPoolExecutor(50) as pool:
        assert [s for seen in pool.map(busy, range(50)) for s in seen] == [401] * 200
    for connection in idle:
        connection.close()
    until(lambda: len(list(folder.iterdir())) <= before)


@pytest.fixture(scope="module")
def ssh(hostd: Hostd) -> Hostd:
    """hostd with SSH switched on and a key of ours."""
    key = hostd.state / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    sshkeys.set_keys(hostd.state, "root", [key.with_suffix(".pub").read_text().strip()])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", hostd.ssh))
    done = hostd.tepui(*hostd.options(), "system", "ssh", "server", "set", "-e", "true")
    assert done.returncode == 0, done.stderr
    assert store.Store(hostd.state).current().document == Document(ssh=Ssh(True))
    hostd.until("SSH on port")
    return hostd


def test_ssh_runs_one_command(ssh: Hostd) -> None:
    done = ssh.openssh("cat; echo err >&2; exit 4", given="bytes\n")
    assert (done.returncode, done.stdout, done.stderr) == (4, "bytes\n", "err\n")
    assert 'ssh session user="root" source="127.0.0.1" line="cat;' in (
        (ssh.state / "audit.log").read_text()
    )
    big = ssh.openssh("head -c 3000000 /dev/zero | tr '\\0' x")
    assert big.stdout == "x" * 3_000_000


def test_ssh_opens_the_console(ssh: Hostd) -> None:
    done = ssh.openssh("-tt", given="tty; echo it is $((6*7)); exit 5\n")
    assert done.returncode == 5 and "it is 42" in done.stdout and "/dev/pts/" in done.stdout


def test_ssh_refuses_and_logs(ssh: Hostd) -> None:
    sshkeys.set_keys(ssh.state, "eve", sshkeys.keys(ssh.state, "root"))
    done = ssh.openssh("true", user="eve")
    assert done.returncode == 255 and "Permission denied" in done.stderr
    log = (ssh.state / "audit.log").read_text()
    assert 'ssh refused user="eve" source="127.0.0.1" means="key" reason="no admin' in log


def test_ssh_by_password(ssh: Hostd) -> None:
    ask = ssh.state / "ask"
    ask.write_text(f"#!/bin/sh\necho {PASSWORD}\n")
    ask.chmod(0o700)
    words = f"ssh -F none -p {ssh.ssh} -o UserKnownHostsFile={ssh.state / 'known'}"
    words += " -o StrictHostKeyChecking=accept-new -o PubkeyAuthentication=no -o LogLevel=ERROR"
    environment = ssh.environment | {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    line = [*words.split(), "root@127.0.0.1", "echo in"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr


def test_an_offered_key_is_no_login(ssh: Hostd) -> None:
    """OpenSSH offers a public key whose private half it has not; hostd takes the offer only."""
    offered = ssh.state / "offered"
    offered.with_suffix(".pub").write_text((ssh.state / "id.pub").read_text())
    before = (ssh.state / "audit.log").read_text()
    done = ssh.openssh("true", key=offered)
    assert done.returncode == 255 and "Permission denied" in done.stderr
    after = (ssh.state / "audit.log").read_text()[len(before) :]
    assert "ssh done" not in after and "ssh session" not in after
    assert ssh.openssh("true").returncode == 0
    assert (
        'ssh done user="root" source="127.0.0.1" means="key"'
        in ((ssh.state / "audit.log").read_text()[len(before) :])
    )


def test_passwords_typed_at_ssh_stay_out_of_the_log(ssh: Hostd) -> None:
    ssh.openssh("esxcli system account set -i eve -p Hunter2-Hunter2 || true")
    log = (ssh.state / "audit.log").read_text()
    assert "Hunter2" not in log and 'line="esxcli ***"' in log


def test_tls_has_no_cbc(hostd: Hostd) -> None:
    for version, ciphers, works in (
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA", False),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
    ):
        context = ssl.create_default_context(cafile=str(hostd.state / "ssl/rui.crt"))
        context.set_ciphers(ciphers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        if works:
            https(hostd, context).close()
            continue
        with pytest.raises(OSError):
            https(hostd, context)


@contextmanager
def console(hostd: Hostd, user: str, password: str) -> Iterator[subprocess.Popen[bytes]]:
    """An open service console, past its first prompt."""
    master, slave = pty.openpty()
    environment = hostd.environment | {"TEPUI_PASSWORD": password}
    line = [TEPUI, "shell", *hostd.options(), "--user", user]
    with subprocess.Popen(
        line, env=environment, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        os.write(master, b"echo is $((6*7))\n")
        seen = b""
        while b"is 42" not in seen:
            assert select.select([master], [], [], 60)[0], seen
            seen += os.read(master, 4096)
        try:
            yield process
        finally:
            process.kill()
            os.close(master)


@pytest.mark.parametrize("end", ["role", "account", "password"])
def test_a_console_ends_with_what_allows_it(hostd: Hostd, end: str) -> None:
    accounts = Accounts(hostd.state / "accounts.json")
    accounts.add("ada", Role.ADMINISTRATOR, "Ada-s-own-1")
    try:
        with console(hostd, "ada", "Ada-s-own-1") as process:
            if end == "role":
                accounts.set_role("ada", Role.OPERATOR)
            elif end == "account":
                accounts.remove("ada")
            else:
                accounts.set_password("ada", "Ada-s-new-1")
            assert process.wait(30) != 0
    finally:
        with suppress(AccountError):
            accounts.remove("ada")


def test_ssh_ends_with_the_account(ssh: Hostd) -> None:
    accounts = Accounts(ssh.state / "accounts.json")
    accounts.add("ada", Role.ADMINISTRATOR, "Ada-s-own-1")
    sshkeys.set_keys(ssh.state, "ada", sshkeys.keys(ssh.state, "root"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ssh.openssh, "exec sleep 1000", user="ada")
        until(lambda: 'user="ada" source="127.0.0.1" line' in (ssh.state / "audit.log").read_text())
        accounts.set_role("ada", Role.READ_ONLY)
        assert running.result(60).returncode != 0
    accounts.remove("ada")
