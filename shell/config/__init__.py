# SPDX-License-Identifier: Apache-2.0
"""The host's configuration: one JSON document, its history, and how it reaches the running host."""
