"""The shipped models as parameters of a test; the large ones only in slow tests."""

from __future__ import annotations

import pytest

from vs_gansr.model import library

SHIPPED = [
    pytest.param(name, marks=pytest.mark.slow) if name.startswith("large-") else name for name in library.shipped()
]
