# SPDX-License-Identifier: Apache-2.0
"""The service console: client, commands, hostd and the tepui command."""
