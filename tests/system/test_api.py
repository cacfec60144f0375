# SPDX-License-Identifier: Apache-2.0
"""hostd's API on the booted host, held against its own description by schemathesis: operations that
are meant to succeed do, and whatever else is sent gets an answer that the description names."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.system import guests, installed
from tests.system.machine import Machine
from tests.system.test_remote import PASSWORD, Workstation, host
from tests.system.test_vm_console import VMX
from tests.unit.test_openapi import CHECKS

EXAMPLES = 20  # of each operation
SCRIPT = "while :; do read line </dev/ttyS0; done"
DISK = "storage core device list"
#: Commands and their arguments, in an order in which all succeed. {name:column}: what the last
#: answer to a list showed; *: every command that wants no argument.
SCENARIO = """
storage filesystem create {"device": "%(Device)s", "label": "datastore1", "mount": true}
vm create {"name": "web", "kernel": "/guest/vmlinuz", "initrd": "/guest/initrd", "disk_size": ["16M"]}
vm set {"vm": "web", "memory": "192M"}
vm power on {"vm": "web"}
vm register {"vmx": "/guest/web.vmx"}
*
vm show {"vm": "web"}
vm stats {"vm": "web"}
vm power get {"vm": "web"}
vm reset {"vm": "web"}
vm shutdown {"vm": "web"}
vm power off {"vm": "web"}
vm delete {"vm": "web"}
vm unregister {"vm": "lab"}
vm run {"vmx": "/guest/web.vmx"}
vm process list {}
vm process kill {"world_id": %(WorldID)s, "type": "force"}
storage filesystem unmount {"label": "datastore1"}
config set {"path": "network.vswitches.vSwitch0.mtu", "value": "1400"}
config rollback {"revision": 1}
network nic stats get {"nic_name": "vmnic0"}
network port list {}
network port stats get {"port_id": %(PortID)s}
network vswitch standard add {"vswitch_name": "lab"}
network vswitch standard set {"vswitch_name": "lab", "mtu": 9000}
network vswitch standard policy security get {"vswitch_name": "lab"}
network vswitch standard policy security set {"vswitch_name": "lab", "allow_promiscuous": true}
network vswitch standard uplink remove {"vswitch_name": "vSwitch0", "uplink_name": "vmnic1"}
network vswitch standard uplink add {"vswitch_name": "lab", "uplink_name": "vmnic1"}
network vswitch standard uplink remove {"vswitch_name": "lab", "uplink_name": "vmnic1"}
network vswitch standard portgroup add {"portgroup_name": "one", "vswitch_name": "lab"}
network vswitch standard portgroup set {"portgroup_name": "one", "vlan_id": 7}
network ip interface add {"interface_name": "vmk1", "portgroup_name": "one"}
network ip interface ipv4 set {"interface_name": "vmk1", "type_": "static", "ipv4": "10.7.0.2", "netmask": "255.255.255.0"}
network ip interface ipv6 address add {"interface_name": "vmk1", "ipv6": "fd00::7"}
network ip interface ipv6 address remove {"interface_name": "vmk1", "ipv6": "fd00::7"}
network ip route ipv4 add {"gateway": "10.7.0.1", "network_": "10.8.0.0/16"}
network ip route ipv4 remove {"gateway": "10.7.0.1", "network_": "10.8.0.0/16"}
network ip interface remove {"interface_name": "vmk1"}
network vswitch standard portgroup remove {"portgroup_name": "one", "vswitch_name": "lab"}
network vswitch standard remove {"vswitch_name": "lab"}
network ip dns server add {"server": "10.0.2.4"}
network ip dns server remove {"server": "10.0.2.4"}
system account add {"name": "eve", "password": "Correct-horse-2"}
system account set {"name": "eve", "password": "Correct-horse-3"}
system permission set {"name": "eve", "role": "operator"}
system account token add {"token_name": "job", "name": "eve"}
system account token remove {"token_name": "job"}
system account remove {"name": "eve"}
sched group set {"group_path": "host/system", "shares": 1000}
system hostname set {"fqdn": "tepui.example.org"}
system module get {"module": "nvme"}
system ssh key add {"key": "%(key)s"}
system ssh key remove {"key": "%(key)s"}
system ssh server set {"enabled": true}
system syslog mark {"message": "here"}
"""  # noqa: E501
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhqZ2ZkbGtqaGdmZGxramhnZmRsa2poZ2Zk lab"
#: Not called in passing: what ends the host, and an upgrade, which test_installer shows.
LAST = ("/api/commands/system/shutdown/poweroff", {"reason": "test"})
ENDS = {LAST[0], "/api/commands/system/shutdown/reboot", "/api/commands/software/profile/update"}


class Caller:
    """Calls operations by the description; remembers which succeeded."""

    def __init__(self, station: Workstation, session: requests.Session) -> None:
        self.base, self.session = f"https://{station.host[1]}", session
        url = f"{self.base}/api/openapi.json"
        self.schema = schemathesis.openapi.from_url(url, verify=False, timeout=60)
        self.headers: dict[str, str] = {}
        self.good: set[str] = set()
        self.bad: dict[str, str] = {}
        self.known = {"key": KEY}

    def log_in(self) -> None:
        answer = self.call("/api/session", {"account": "root", "password": PASSWORD})
        self.headers = {"Authorization": f"Bearer {answer['token']}"}

    def send(self, case: Any) -> Any:
        start = time.monotonic()
        answer = case.call(self.base, self.session, headers=self.headers, verify=False, timeout=240)
        took = time.monotonic() - start
        print(f"{took:6.1f} s: {answer.status_code} {case.method} {case.path} {case.body!r:.200}")
        case.validate_response(answer, checks=CHECKS)
        return answer

    def call(self, path: str, body: Any, method: str = "POST") -> Any:
        arguments = {} if body is None else {"body": body, "media_type": "application/json"}
        answer = self.send(self.schema[path][method].Case(**arguments))
        data = json.loads(answer.content)
        if answer.status_code == 200:
            self.good.add(f"{method} {path}")
        else:
            self.bad[path] = data["error"]
        return data

    def try_all(self, path: str, method: str) -> None:
        """Sends what the description allows."""

        @given(case=self.schema[path][method].as_strategy())
        @settings(
            max_examples=EXAMPLES, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def check(case: Any) -> None:
            self.send(case)

        check()

    def command(self, words: str, body: Any) -> None:
        data = self.call(f"/api/commands/{words.replace(' ', '/')}", body)
        if data.get("rows"):
            names = [name.replace(" ", "") for name in data["columns"]]
            self.known |= dict(zip(names, data["rows"][0], strict=True))

    def simple(self) -> list[str]:
        """The commands that want no argument, but those that change what others need."""
        out = []
        for path, item in self.schema.raw_schema["paths"].items():
            words = path.removeprefix("/api/commands/").replace("/", " ")
            if "/commands/" in path and not item["post"]["requestBody"]["required"]:
                out.append(words)
        return [words for words in out if words != "storage filesystem unmount"]


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_operations_succeed_and_answers_are_as_described(
    boot: Callable[..., Machine], tmp_path: Path, logs: Path
) -> None:
    station = Workstation(tmp_path)
    vmx = VMX.replace('"web"', '"lab"').encode()
    iso = guests.host_iso(logs / "host.iso", {"web.vmx": vmx}, SCRIPT)
    disk = installed.disk(installed.empty(tmp_path / "disk"), index=None)
    second = ("-netdev", "user,id=m", "-device", "e1000,netdev=m")
    station.arguments = (*station.arguments, *second, *disk)
    shell = host(boot, station, iso=iso, cpus=1, memory=1536, threads="single")
    with requests.Session() as session:
        api = Caller(station, session)
        api.log_in()
        api.command(DISK, {})
        for line in SCENARIO.strip().splitlines():
            words, _, body = line.partition(" {")
            if words == "*":
                for words in api.simple():
                    api.command(words, {})
            else:
                api.command(words, json.loads(("{" + body) % api.known))
        paths = api.schema.raw_schema["paths"]
        calls = [(path, m.upper()) for path, item in paths.items() for m in item if m != "get"]
        for path, method in calls:
            if path not in ENDS and method != "DELETE":
                api.try_all(path, method)
        api.call("/api/session", None, "DELETE")
        api.log_in()
        api.call(*LAST)
    assert shell.machine.wait_exit(120) == 0
    print(f"{len(api.good)} of {len(calls)} succeeded; refused at least once: {api.bad}")
    assert len(api.good) >= 0.9 * len(calls), api.bad
