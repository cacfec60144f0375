# SPDX-License-Identifier: Apache-2.0
"""Virtual machines from Python: descriptions (.vmx), boot protocols, firmware tables, birth."""
