# SPDX-License-Identifier: Apache-2.0
"""The keys of SSH: which public keys open a user's console, and the host's own."""

import re
from pathlib import Path

from tepui.shell import files
from tepui.shell.hostd.accounts import NAME

KEY = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( .*)?")


def keys_file(state: Path, user: str) -> Path:
    """OpenSSH's authorized_keys of a user."""
    return state / "ssh" / f"keys-{user}" / "authorized_keys"


def keys(state: Path, user: str) -> list[str]:
    """The user's lines; none for what is no user."""
    if not NAME.fullmatch(user):
        return []
    try:
        return keys_file(state, user).read_text().splitlines()
    except FileNotFoundError:
        return []


def set_keys(state: Path, user: str, lines: list[str]) -> None:
    """Raises ValueError for what is no user or no key."""
    if not NAME.fullmatch(user) or not all(KEY.fullmatch(line) for line in lines):
        raise ValueError("not a user, or not a public key as OpenSSH writes it")
    files.replace(keys_file(state, user), "".join(f"{line}\n" for line in lines))


def host_key(state: Path) -> Path:
    """The host's Ed25519 key, made when it is missing. Imports asyncssh."""
    import asyncssh

    path = state / "ssh" / "ssh_host_ed25519_key"
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519")
        files.replace(path, key.export_private_key().decode())
    return path
