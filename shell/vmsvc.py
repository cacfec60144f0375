# SPDX-License-Identifier: Apache-2.0
"""vim-cmd vmsvc/... and solo/registervm: ESXi's words and shapes for VMs.

Source: transcripts of ESXi 6.x to 8.x hosts.
"""

from collections.abc import Callable
from pathlib import Path

from tepui.shell.commands.vms import delete, short
from tepui.shell.run import Context
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.service import VmInfo, VmService

WIDTHS = (("Vmid", 6), ("Name", 20), ("File", 40), ("Guest OS", 18), ("Version", 9))


def named(vmid: str) -> VmInfo:
    """By Vmid; VmError with ESXi's words."""
    found = [v for v in VmService().vms() if str(v.id) == vmid]
    if not found:
        raise VmError(
            f'(vim.fault.NotFound) {{\n   msg = "Unable to find a VM corresponding to "{vmid}""\n}}'
        )
    return found[0]


def getallvms() -> str:
    rows = [(*(title for title, _ in WIDTHS), "Annotation")]
    rows += [(str(v.id), v.name, short(v.vmx), "otherLinux64Guest", "vmx-19", "")
             for v in VmService().vms()]  # fmt: skip
    widths = [max(w, *(len(r[i]) + 3 for r in rows)) for i, (_, w) in enumerate(WIDTHS)]
    return "\n".join(
        "".join(c.ljust(w) for c, w in zip(r, [*widths, 0], strict=True)).rstrip() for r in rows
    )


def power(action: str, said: str) -> Callable[[str], str]:
    def call(vmid: str) -> str:
        VmService().power(str(named(vmid).id), action)
        return said

    return call


def getstate(vmid: str) -> str:
    return f"Retrieved runtime info\n{named(vmid).power}"


def summary(vmid: str) -> str:
    """The part of vim.vm.Summary that there is."""
    v = named(vmid)
    state = "poweredOn" if v.on else "poweredOff"
    return (
        "Listsummary:\n\n(vim.vm.Summary) {\n   vm = 'vim.VirtualMachine:" + vmid + "',\n"
        "   runtime = (vim.vm.RuntimeInfo) {\n"
        f'      powerState = "{state}",\n   }},\n'
        "   config = (vim.vm.Summary.ConfigSummary) {\n"
        f'      name = "{v.name}",\n      vmPathName = "{short(v.vmx)}",\n'
        f"      memorySizeMB = {v.memory >> 20},\n      numCpu = {v.cpus},\n"
        f'      uuid = "{v.uuid}",\n   }},\n}}'
    )


def register(vmx: str) -> str:
    return str(VmService().register(Path(vmx)))


def unregister(vmid: str) -> str:
    VmService().unregister(str(named(vmid).id))
    return ""


def destroy(vmid: str) -> str:
    delete(Context(), str(named(vmid).id))
    return ""


#: vim-cmd's name -> the function that it calls with its arguments.
CALLS: dict[str, Callable[..., str]] = {
    "vmsvc/getallvms": getallvms,
    "vmsvc/power.on": power("on", "Powering on VM:"),
    "vmsvc/power.off": power("off", "Powering off VM:"),
    "vmsvc/power.shutdown": power("shutdown", ""),
    "vmsvc/power.reset": power("reset", "Reset VM:"),
    "vmsvc/power.getstate": getstate,
    "vmsvc/get.summary": summary,
    "vmsvc/unregister": unregister,
    "vmsvc/destroy": destroy,
    "solo/registervm": register,
}

#: What ESXi has and we do not.
MISSING = (
    "vmsvc/power.suspend", "vmsvc/power.suspendResume", "vmsvc/power.hibernate",
    "vmsvc/power.reboot", "vmsvc/snapshot.", "vmsvc/device.", "vmsvc/tools.", "vmsvc/get.",
    "vmsvc/message", "vmsvc/createdummyvm", "vmsvc/reload",
)  # fmt: skip
