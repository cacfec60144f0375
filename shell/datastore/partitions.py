# SPDX-License-Identifier: Apache-2.0
"""The GPT partition types that are ours (vmkernel/include/vmk/part_types.h, UEFI 2.8 5.3)."""

from uuid import UUID

#: Configuration, logs and certificates of the host, in a datastore of their own.
OS_DATA = UUID("3bceea6e-9e4c-4446-8135-8c52210429ff")
DATASTORE = UUID("de4c63ed-e82b-433d-a59d-d8abf17bb1c0")
