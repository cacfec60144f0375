# SPDX-License-Identifier: Apache-2.0
"""The datastore as Python reads it from an image or a device, independent of the kernel's code."""
