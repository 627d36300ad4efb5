"""Fixtures of the tests that are about Windows; elsewhere they are not collected."""

from __future__ import annotations

import sys

from command_fixtures import gansr, home, quiet_environment, start

__all__ = ["gansr", "home", "quiet_environment", "start"]

collect_ignore_glob = [] if sys.platform == "win32" else ["test_*.py"]
