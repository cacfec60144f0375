# SPDX-License-Identifier: Apache-2.0
"""The API server: HTTPS, accounts, and every command of the tree as an operation."""
