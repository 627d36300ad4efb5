"""Read a network's receptive field, size rule and memory use from its ONNX graph, without running it.

study       receptive-field radius, size rule, smallest picture and memory of a graph
operators   rules for operators that compute          movement    rules for operators that move data
trace       the record kept for one tensor            ending      the range of the output's values
"""

from __future__ import annotations

from .ending import signed_output
from .study import Study, study

__all__ = ["Study", "signed_output", "study"]
