# SPDX-License-Identifier: Apache-2.0
"""System tests: the real image in emulated machines."""
