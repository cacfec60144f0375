# SPDX-License-Identifier: Apache-2.0
"""The one rule for new passwords: installer, kickstart files, `passwd`, accounts."""

PASSWORD_MIN, PASSWORD_MAX = 7, 40


def password_fault(password: str) -> str:
    """Why a password is not taken, "" if it is: 7 to 40 characters of three of the four classes
    (ESXi's default policy)."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        return f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters"
    kinds = (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
    if sum(any(kind(c) for c in password) for kind in kinds) < 3:
        return "a password needs three of: lower case, upper case, digits, other characters"
    return ""
