"""Say which engine and precision are quickest on which processors, from measurements.

docs/speed.md has the figures; `scripts/bench --providers` measures them anew on any machine.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from ..base import Provider
from .registry import CPU, OPENVINO

__all__ = ["RULES", "Rule", "fast_int8", "features", "matching"]

VNNI = frozenset({"avx512_vnni", "avx_vnni"})
DOT_PRODUCT = frozenset({"asimddp"})
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
AMX = frozenset({"amx_int8"})
KNOWN = VNNI | DOT_PRODUCT | BFLOAT16 | AMX
ANY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """On a processor with one of `features` a network in `precision` runs on `provider`."""

    precision: str  # `int8`, `bf16` or `fp32`
    features: frozenset[str]  # as Linux names them; empty: any processor
    provider: Provider  # OPENVINO or CPU, which is ONNX Runtime
    why: str  # for the log


# Best first: `auto` takes the first that the processor, the network and what is installed allow. Bfloat16, of twice
# float32's speed, is for whoever asks for it: pictures of foreign networks shall not change with the processor.
RULES = (
    Rule("int8", AMX, OPENVINO, "3 times ONNX Runtime's speed or more with AMX"),
    Rule("int8", frozenset({"avx512_vnni"}), OPENVINO, "1.3 times ONNX Runtime's speed or more with AVX512-VNNI"),
    Rule("int8", VNNI | DOT_PRODUCT, CPU, "this CPU has 8-bit dot products"),
    Rule("fp32", ANY, CPU, "as quick as OpenVINO in float32"),
)
BY_NAME = (Rule("bf16", BFLOAT16, OPENVINO, "twice float32's speed"),)


def matching(precision: str) -> list[Rule]:
    """The rules for this processor, best first; those for `precision` unless that is `auto`."""
    have = features()
    fitting = [rule for rule in RULES if not rule.features or rule.features & have]
    return fitting if precision == "auto" else [rule for rule in (*fitting, *BY_NAME) if rule.precision == precision]


@cache
def features() -> frozenset[str]:
    """What of KNOWN this processor has."""
    if sys.platform == "darwin":
        return DOT_PRODUCT if platform.machine() == "arm64" else ANY
    try:
        return KNOWN & set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:  # elsewhere NumPy knows the sets of features, of which the first holds VNNI
        found = import_module("numpy._core._multiarray_umath").__cpu_features__
        sets = {"AVX512_ICL": {"avx512_vnni"}, "AVX512_SPR": {"avx512_bf16"}, "ASIMDDP": {"asimddp"}}
        return frozenset().union(*(names for key, names in sets.items() if found.get(key)))


def fast_int8() -> bool:
    """True if this processor sums products of 8-bit integers in 32 bits: others are slower, or their sums overflow."""
    return bool(features() & (VNNI | DOT_PRODUCT))
