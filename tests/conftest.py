# SPDX-License-Identifier: Apache-2.0
"""Hypothesis profiles. No deadlines: the machine that runs the tests may be busy."""

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.untouched",)
QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """The usual profile, one for the check before a landing, one for make soak."""
    # The same examples on every machine: a test that passed once passes again; soak explores.
    settings.register_profile(
        "usual", deadline=None, derandomize=True, database=None, suppress_health_check=QUIET
    )
    settings.register_profile("quick", settings.get_profile("usual"), max_examples=15)
    usual = settings.get_profile("usual")
    settings.register_profile("soak", usual, max_examples=10_000, derandomize=False)
    settings.load_profile("soak" if os.environ.get("TEPUI_SOAK") else "usual")
