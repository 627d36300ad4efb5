"""Start a Ray cluster on this machine for tests and long runs."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["start"]


def start(tries: int = 5) -> Any:
    """A ray.cluster_utils.Cluster of two processors; Ray gives a new node 30 s, for which a busy machine takes several
    tries."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    arguments = {"num_cpus": 2, "num_gpus": 0, "include_dashboard": False}
    for left in reversed(range(tries)):
        try:
            return Cluster(initialize_head=True, head_node_args=arguments)
        except Exception:  # Ray raises no narrower one
            if not left:
                raise
    raise ValueError(f"start: {tries} tries are none")
