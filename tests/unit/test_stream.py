# SPDX-License-Identifier: Apache-2.0
"""A person's end of a console: what is typed gets there, also right before leaving."""

import os
import socket
import sys

import pytest

from tepui.shell.stream import Stream, attach


@pytest.mark.parametrize(("typed", "sent"), [(b"reboot;\x1d", b"reboot;"), (b"\x1dx", b"")])
def test_what_was_typed_before_leaving_is_sent(
    monkeypatch: pytest.MonkeyPatch, typed: bytes, sent: bytes
) -> None:
    person, terminal = os.openpty()
    ours, there = socket.socketpair()
    with ours, os.fdopen(terminal) as keyboard, monkeypatch.context() as m:
        m.setattr(sys, "stdin", keyboard)
        m.setattr("tty.setraw", lambda *_: None)
        os.write(person, typed + b"\n")  # one read gives the whole line
        assert attach(Stream(there.detach())) == 0
        got = ours.recv(100)
    os.close(person)
    assert got == sent
