"""Start a Ray cluster on this machine for tests and long runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

import psutil

__all__ = ["start"]


def start(tries: int = 5) -> Any:
    """A ray.cluster_utils.Cluster of two processors; Ray gives a new node 30 s, for which a busy machine takes several
    tries. Processes of a try that failed, which Ray leaves behind, are ended."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    arguments = {"num_cpus": 2, "num_gpus": 0, "include_dashboard": False}
    for left in reversed(range(tries)):
        before = set(psutil.Process().children())
        try:
            return Cluster(initialize_head=True, head_node_args=arguments)
        except Exception:  # Ray raises no narrower one
            end(set(psutil.Process().children()) - before)
            if not left:
                raise
    raise ValueError(f"start: {tries} tries are none")


def end(processes: Iterable[psutil.Process]) -> None:
    """Kills processes and their children."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in (*process.children(recursive=True), process):
                each.kill()
            process.wait()
