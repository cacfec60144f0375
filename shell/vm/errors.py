# SPDX-License-Identifier: Apache-2.0
"""The error of everything that describes, builds or starts a VM."""


class VmError(Exception):
    """A VM cannot be described, built or started; the message is for people."""
