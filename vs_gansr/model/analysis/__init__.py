"""How far a network looks, read off its ONNX graph without running it.

study       radius, size rule, smallest picture and memory of a graph
operators   rules for operators that compute          movement    rules for those that move data
trace       the record kept of one tensor    ending     which values the output can have
"""

from __future__ import annotations

from .ending import signed_output
from .study import Study, study

__all__ = ["Study", "signed_output", "study"]
