"""Run options: options of the command that do not change the output."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """How a job is to be run, which changes nothing in its result.

    `workers` processes at a time, 0 for one or what the cluster has · `cluster` address of a Ray cluster, or None ·
    `overwrite` the output · `resume` only what is begun, `restart`
    from nothing · `verbose` shows what the workers print · `patience` seconds that
    a worker may go without a frame, at least
    """

    workers: int = 0
    cluster: str | None = None
    overwrite: bool = False
    resume: bool = False
    restart: bool = False
    verbose: bool = False
    patience: float = 60.0
