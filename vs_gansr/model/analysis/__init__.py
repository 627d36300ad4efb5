"""Read a network's receptive field, size rule and memory use from its ONNX graph, without running it.

study       receptive-field radius, size rule, smallest picture and memory of a graph
operators   rules for operators that compute          movement    rules for operators that move data
trace       the record kept for one tensor
"""

from __future__ import annotations

from .study import Study, study

__all__ = ["Study", "study"]
