# SPDX-License-Identifier: Apache-2.0
"""Consoles over WebSocket (RFC 6455): a guest's serial line, the host's service console.

GET /api/consoles/PATH?argument=value with a token opens what the interactive command PATH returns.
Binary messages are the console's bytes both ways; the client's text messages are {"resize":
[columns, rows]}, the host's last one is {"exit": status}. The close code is 1000.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Sequence

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from tepui.shell.command import Command, FailedError, UsageError
from tepui.shell.hostd.access import Access, Requester, RequestError
from tepui.shell.hostd.accounts import Account
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.run import Context, invoke
from tepui.shell.stream import Stream


async def ready(descriptor: int, *, writing: bool = False) -> None:
    """Waits until the descriptor can be read or written."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    )
    add(descriptor, lambda: None if future.done() else future.set_result(None))
    try:
        await future
    finally:
        remove(descriptor)


async def forward(stream: Stream, send: Callable[[bytes], Awaitable[None]]) -> None:
    """Hands on what a console prints until its end; its speed is the receiver's."""
    while True:
        await ready(stream.fileno())
        data = stream.recv()
        if data == b"":
            return
        if data:
            await send(data)


async def type_in(stream: Stream, data: bytes) -> None:
    """Writes what a person typed."""
    while data:
        try:
            data = data[os.write(stream.fileno(), data) :]
        except BlockingIOError:
            await ready(stream.fileno(), writing=True)


async def join(
    stream: Stream, send: Callable[[bytes], Awaitable[None]], receive: Awaitable[None]
) -> int:
    """Runs a console until it ends or `receive`, which types into it, does; its exit status."""
    os.set_blocking(stream.fileno(), False)
    both = [asyncio.ensure_future(forward(stream, send)), asyncio.ensure_future(receive)]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        status = await asyncio.to_thread(stream.close)
    return status


class Consoles:
    """Opens consoles for those who may."""

    def __init__(
        self,
        access: Access,
        context: Callable[[Account, str], Context],
        commands: Sequence[Command],
    ) -> None:
        self.access, self.context = access, context
        self.commands = {"/".join(c.path): c for c in commands}

    def open(self, socket: WebSocket) -> tuple[Stream, Context]:
        requester = Requester.of(socket.scope)
        account = self.access.who(requester)
        command = self.commands.get(socket.path_params["path"])
        if command is None:
            raise RequestError(404, "no such console")
        self.access.allow(account, command, requester.source)
        known = {p.name: p for p in command.params}
        query = dict(socket.query_params)
        if query.keys() - known.keys() or any(
            p.required and p.name not in query for p in command.params
        ):
            raise UsageError(f"wrong arguments of {command.name}")
        values = {name: known[name].convert(text) for name, text in query.items()}
        context = self.context(account, requester.source)
        return invoke(command, context, values), context

    async def serve(self, socket: WebSocket) -> None:
        try:
            stream, context = await asyncio.to_thread(self.open, socket)
        except (RequestError, UsageError, FailedError, RefusedError, LinkError) as e:
            kinds = {UsageError: 400, FailedError: 409, RefusedError: 409}
            status = e.status if isinstance(e, RequestError) else kinds.get(type(e), 503)
            await socket.send_denial_response(JSONResponse({"error": str(e)}, status))
            return
        try:
            await socket.accept()
            status = await join(stream, socket.send_bytes, self._typed(socket, stream))
        finally:
            context.close()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it may have left already
            await socket.send_json({"exit": status})
            await socket.close()

    async def _typed(self, socket: WebSocket, stream: Stream) -> None:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if data := message.get("bytes"):
                await type_in(stream, data)
            elif text := message.get("text"):
                with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError):
                    columns, rows = json.loads(text)["resize"]
                    stream.resize(int(columns), int(rows))
