# SPDX-License-Identifier: Apache-2.0
"""Helpers of the build; the standard library is all they need."""
