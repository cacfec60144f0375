# SPDX-License-Identifier: Apache-2.0
"""USB devices: from pyusb on a live machine, or from what lsusb printed."""

from __future__ import annotations

import re
from typing import Any, List, Tuple

from tepui.hcl import ids
from tepui.hcl.dumps import DumpError
from tepui.hcl.model import UsbDevice

#: Interface class, subclass and protocol of a boot keyboard. Spec: HID 1.11, 4.2 and 4.3.
KEYBOARD = (3, 1, 1)
LINE = re.compile(r"^Bus (\d{3}) Device (\d{3}): ID ([0-9a-f]{4}):([0-9a-f]{4})(.*)$", re.M)
INTERFACE = re.compile(
    r"bInterfaceClass +(\d+).*\s+bInterfaceSubClass +(\d+).*\s+bInterfaceProtocol +(\d+)"
)


def lsusb(text: str) -> List[UsbDevice]:
    """Output of `lsusb` or `lsusb -v`; raises DumpError.

    The short form does not tell interfaces: there the name says what a keyboard is."""
    found = []
    lines = list(LINE.finditer(text))
    for m, after in zip(lines, [*lines[1:], None]):
        rest = text[m.end() : after.start() if after else len(text)]
        shapes = [tuple(int(x) for x in i) for i in INTERFACE.findall(rest)]
        name = m[5].strip()
        keyboard = KEYBOARD in shapes if shapes else "keyboard" in name.lower()
        address = f"{int(m[1])}-{int(m[2])}"
        found.append(UsbDevice(address, int(m[3], 16), int(m[4], 16), name, keyboard))
    if not found or len(found) != len(re.findall(r"^Bus \d", text, re.M)):
        raise DumpError("this is no whole output of lsusb: run `lsusb > FILE`")
    return found


def _keyboard(device: Any) -> bool:
    return any(
        (i.bInterfaceClass, i.bInterfaceSubClass, i.bInterfaceProtocol) == KEYBOARD
        for configuration in device
        for i in configuration
    )


def live() -> Tuple[List[UsbDevice], str]:
    """The machine's devices through pyusb, and why there are none where it does not serve."""
    try:
        import usb.core

        names = ids.load("usb.ids")
        found = []
        for d in usb.core.find(find_all=True):
            name = names.both(d.idVendor, d.idProduct)
            found.append(
                UsbDevice(f"{d.bus}-{d.address}", d.idVendor, d.idProduct, name, _keyboard(d))
            )
    except ImportError:
        return [], "USB devices were not looked at: pyusb is not installed"
    except Exception as e:  # usb.core.NoBackendError, USBError: whatever libusb lacks
        return [], f"USB devices were not looked at: {e}"
    return found, ""
