# SPDX-License-Identifier: Apache-2.0
"""Host tests: C units through cffi, and the Python packages."""
