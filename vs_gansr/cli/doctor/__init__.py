"""The command `gansr doctor`: report what is installed, what is wrong with it and how to repair it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass

from ..common import FAILED, say

__all__ = ["FAULT", "HELP", "NOTE", "OK", "Finding", "add_arguments", "run"]

HELP = "report what is installed, what is wrong with it and how to repair it"
OK, NOTE, FAULT = "ok", "note", "fault"


@dataclass(frozen=True)
class Finding:
    """One line of the report: its topic, its state ("ok", "note" or "fault"), its text, and the remedy if there is
    one.
    """

    topic: str
    state: str
    text: str
    fix: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `gansr doctor`; docs/cli.md explains them."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the report; return FAILED if there is a fault."""
    from .examine import examine  # which imports this module

    findings = []
    for finding in examine():
        findings.append(finding)
        if not args.json:
            print(line(finding), flush=True)
    faults = sum(finding.state == FAULT for finding in findings)
    if args.json:
        print(json.dumps({"faults": faults, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        say(f"{faults} fault{'s' * (faults != 1)} found" if faults else "no faults found")
    return FAILED if faults else 0


def line(finding: Finding) -> str:
    """Return the finding in one line, and its remedy in a second line."""
    text = f"{finding.state:<5}  {finding.topic:<12}  {finding.text}"
    return f"{text}\n{'':<21}-> {finding.fix}" if finding.fix else text
