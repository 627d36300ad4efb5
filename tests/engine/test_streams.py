"""Which stream a picture gets: its own while others are computed, the one with all processors if it comes alone."""

from __future__ import annotations

from contextlib import ExitStack

from vs_gansr.engine.streams import LONELY, StreamPool


def lent_alone(pool: StreamPool[str]) -> str:
    with pool.lend() as stream:
        return stream


def test_pictures_that_come_alone_get_all_processors() -> None:
    pool = StreamPool(["a", "b"], "alone")
    assert [lent_alone(pool) for _ in range(3)] == ["alone"] * 3


def test_pictures_at_once_get_streams_of_their_own_and_so_does_the_next_one() -> None:
    """The next picture of an encode may come while no other is computed, and is not alone for long."""
    pool = StreamPool(["a", "b"], "alone")
    for _ in range(3):
        with ExitStack() as stack:
            first = stack.enter_context(pool.lend())
            assert stack.enter_context(pool.lend()) in ("a", "b")
            assert first in ("alone", "a", "b")
        following = [lent_alone(pool) for _ in range(LONELY)]
        assert following[-1] == "alone" and not {"alone"} & set(following[:-1])


def test_without_a_stream_for_them_they_take_turns() -> None:
    pool = StreamPool(["a"])
    assert [lent_alone(pool) for _ in range(3)] == ["a"] * 3
