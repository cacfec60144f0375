# SPDX-License-Identifier: Apache-2.0
"""The hardware compatibility list: read from the image, checked against machines."""
