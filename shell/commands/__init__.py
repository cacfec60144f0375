# SPDX-License-Identifier: Apache-2.0
"""The commands, one module a top-level namespace; tree.TOP names them."""
