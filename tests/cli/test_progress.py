"""The progress of an encode as text."""

from __future__ import annotations

from vs_gansr.cli.upscale.progress import Progress, State


def test_the_size_to_come_is_told_once_it_can_be() -> None:
    progress = Progress(quiet=True)
    progress.total = 1000
    assert "about" not in progress.describe(State(10, bytes=1_000_000))
    assert "MB" not in progress.describe(State(250, bytes=48)), "a header is no size"
    assert progress.describe(State(250, bytes=5_000_000)).endswith(", 5.0 MB of about 20 MB")
    assert progress.describe(State(500, bytes=12_000_000)).endswith(", 12.0 MB of about 24 MB")
    assert progress.describe(State(1000, bytes=24_000_000)).endswith(", 24.0 MB")
