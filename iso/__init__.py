# SPDX-License-Identifier: Apache-2.0
"""The ISO, the userworld image, the installer and the bootbanks."""
