# SPDX-License-Identifier: Apache-2.0
"""Benchmarks taken under -icount."""
