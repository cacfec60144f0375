# SPDX-License-Identifier: Apache-2.0
"""Register models of devices, for the C drivers under test."""
