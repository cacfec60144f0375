# SPDX-License-Identifier: Apache-2.0
"""The one tree of commands: `esxcli X`, `vmsh X` and `tepui --host H X` all walk it.

A namespace's module is imported when a path first leads into it, so that a single command starts
quickly.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from tepui.shell.command import Command, Flag, Opt, Param, Pos, commands_of

#: Top-level namespace -> (modules, help).
TOP: dict[str, tuple[str, str]] = {
    "config": ("tepui.shell.commands.config", "The configuration: one document, its history."),
    "hardware": (
        "tepui.shell.commands.hardware",
        "VMKernel hardware properties and commands for configuring hardware.",
    ),
    "hcl": ("tepui.shell.commands.hcl", "The compatibility list of this image."),
    "network": (
        "tepui.shell.commands.network tepui.shell.commands.network_ip",
        "Operations that pertain to the maintenance of networking on an ESX host.",
    ),
    "sched": (
        "tepui.shell.commands.sched",
        "VMKernel system properties and commands for configuring scheduling.",
    ),
    "software": ("tepui.shell.commands.software", "The image and its boot banks."),
    "storage": ("tepui.shell.commands.storage", "Storage adapters, devices and datastores."),
    "vm": (
        "tepui.shell.commands.vm tepui.shell.commands.vms",
        "Virtual machines of the host.",
    ),
    "system": (
        "tepui.shell.commands.system tepui.shell.commands.accounts tepui.shell.commands.services",
        "VMKernel system properties and commands for configuring system functions.",
    ),
}

#: Help of namespaces below the top, by path.
NAMESPACES: dict[str, str] = {
    "hardware cpu": "CPU information.",
    "hardware cpu global": "Information on all CPUs together.",
    "hardware memory": "Memory information.",
    "hardware pci": "PCI device information.",
    "hardware platform": "Platform information.",
    "hardware clock": "The hardware clock.",
    "network ip": "The host's own TCP/IP.",
    "network ip connection": "TCP and UDP connections.",
    "network ip dns": "Name resolution.",
    "network ip dns server": "Name servers.",
    "network ip interface": "vmk NICs.",
    "network ip interface ipv4": "IPv4 addresses of vmk NICs.",
    "network ip interface ipv6": "IPv6 of vmk NICs.",
    "network ip interface ipv6 address": "IPv6 addresses of vmk NICs.",
    "network ip neighbor": "ARP and neighbour discovery.",
    "network ip route": "Routes.",
    "network ip route ipv4": "IPv4 routes.",
    "network nic": "Physical NICs.",
    "network nic stats": "Counters of a NIC.",
    "network port": "Ports of virtual switches.",
    "network port stats": "Counters of a port.",
    "network vswitch": "Virtual switches.",
    "network vswitch standard": "Standard virtual switches.",
    "network vswitch standard policy": "Policies of a switch.",
    "network vswitch standard policy security": "What guests may do with MACs.",
    "network vswitch standard portgroup": "Port groups.",
    "network vswitch standard uplink": "Uplinks of a switch.",
    "sched group": "Groups that share CPU time.",
    "sched world": "Worlds: all that is scheduled.",
    "software profile": "The image that is installed.",
    "storage core": "Adapters, devices and partitions.",
    "storage core adapter": "Storage adapters.",
    "storage core device": "Storage devices.",
    "storage core device partition": "Partitions of storage devices.",
    "storage core device stats": "Counters of storage devices.",
    "storage core device world": "Who uses storage devices.",
    "storage filesystem": "Datastores.",
    "vm power": "Switching virtual machines on and off.",
    "vm process": "Virtual machines that are powered on.",
    "system account": "Accounts of this host.",
    "system account token": "API tokens for programs.",
    "system auditrecords": "Who did what.",
    "system hostname": "The name of this host.",
    "system ntp": "The Network Time Protocol client.",
    "system permission": "Roles of accounts.",
    "system ssh": "SSH.",
    "system ssh key": "Keys that open the console.",
    "system ssh server": "The SSH server.",
    "system module": "The drivers in the vmkernel's image.",
    "system process": "Userworld processes.",
    "system shutdown": "Powering off and rebooting the host.",
    "system stats": "Statistics of the running system.",
    "system stats uptime": "System uptime.",
    "system stats counter": "The vmkernel's counters.",
    "system syslog": "The log.",
    "system time": "The system clock.",
    "system version": "The version of this host.",
    "system boot": "How this host was booted.",
    "system boot options": "The boot command line.",
}


@dataclass(slots=True)
class Node:
    """A namespace: its children and its commands."""

    path: tuple[str, ...]
    help: str = ""
    children: "dict[str, Node]" = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """How far a list of words leads: a node, the command if one was reached, the rest."""

    node: Node
    command: Command | None
    rest: tuple[str, ...]


@cache
def _subtree(name: str, modules: tuple[str, ...] = ()) -> Node:
    """A top-level namespace, as far as `modules` (all, when none are named) make it up."""
    every_module, help_ = TOP[name]
    top = Node((name,), help_)
    names = modules or every_module.split()
    for command in (c for m in names for c in commands_of(importlib.import_module(m))):
        node = top
        for word in command.path[1:-1]:
            path = (*node.path, word)
            node = node.children.setdefault(word, Node(path, NAMESPACES.get(" ".join(path), "")))
        node.commands[command.path[-1]] = command
    return top


def _smallest(words: Sequence[str]) -> Node:
    """The namespace from the one module that knows the second word: imports cost a slow machine
    seconds. No word below the top stands in two modules."""
    if len(words) > 1:
        for module in TOP[words[0]][0].split():
            part = _subtree(words[0], (module,))
            if words[1] in part.children or words[1] in part.commands:
                return part
    return _subtree(words[0])


def find(words: Sequence[str]) -> Found:
    """Walks as far as the words name namespaces and then a command."""
    if not words or words[0] not in TOP:
        root = Node((), "", {name: Node((name,), help_) for name, (_, help_) in TOP.items()})
        return Found(root, None, tuple(words))
    node, i = _smallest(words), 1
    while i < len(words) and words[i] in node.children:
        node, i = node.children[words[i]], i + 1
    if i < len(words) and words[i] in node.commands:
        return Found(node, node.commands[words[i]], tuple(words[i + 1 :]))
    return Found(node, None, tuple(words[i:]))


def every() -> list[Command]:
    """All commands, by path."""

    def walk(node: Node) -> list[Command]:
        below = [c for child in node.children.values() for c in walk(child)]
        return [*node.commands.values(), *below]

    return sorted((c for name in TOP for c in walk(_subtree(name))), key=lambda c: c.path)


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    width = max((len(a) for a, _ in rows), default=0)
    return [f"  {a:{width}}  {b}".rstrip() for a, b in rows]


def _own(command: Command) -> str:
    return command.help + (" (Tepui's own)" if command.own else "")


def node_help(node: Node, program: str) -> str:
    """Help of a namespace."""
    name = " ".join((program, *node.path))
    lines = [f"Usage: {name} {{cmd}} [cmd options]"]
    if node.children:
        rows = [(k, v.help) for k, v in sorted(node.children.items())]
        lines += ["", "Available Namespaces:", *_rows(rows)]
    if node.commands:
        rows = [(k, _own(v)) for k, v in sorted(node.commands.items())]
        lines += ["", "Available Commands:", *_rows(rows)]
    return "\n".join(lines)


def _option(p: Param) -> tuple[str, str]:
    text = p.spec.help
    if isinstance(p.spec, Opt) and not p.required and p.default not in (None, (), ""):
        text += f" (default: {p.default})"
    if p.required:
        text += " (required)"
    value = "" if isinstance(p.spec, Flag | Pos) else "=<" + _type_name(p) + ">"
    return p.label + value, text


def _type_name(p: Param) -> str:
    return {str: "str", int: "long", bool: "bool"}.get(
        p.kind, "|".join(getattr(p.kind, "__members__", {})).lower()
    )


def command_help(command: Command, program: str) -> str:
    """Help of one command."""
    places = " ".join(p.label for p in command.params if isinstance(p.spec, Pos))
    usage = f"Usage: {program} {command.name} {places}".rstrip() + " [cmd options]"
    lines = [usage, "", "Description:", f"  {command.path[-1]}  {_own(command)}"]
    if command.params:
        lines += ["", "Cmd options:", *_rows([_option(p) for p in command.params])]
    return "\n".join(lines)


def complete(words: Sequence[str]) -> list[str]:
    """Candidates for the last word of a line."""
    *done, last = words or [""]
    found = find(done)
    if found.command is None:
        if found.rest:
            return []
        names = [*found.node.children, *found.node.commands]
    else:
        names = [p.long for p in found.command.params if not isinstance(p.spec, Pos)]
        names += ["--help"]
    return sorted(n for n in names if n.startswith(last))
