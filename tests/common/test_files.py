"""Readers find either the old file or the new file at any time, and never a part of one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vs_gansr.common import files

if sys.platform != "win32":
    import resource


def test_content_is_replaced_and_folders_are_created(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    files.write(path, "ä")
    files.write(path, b"\x00new")
    assert path.read_bytes() == b"\x00new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failing_block_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), files.replacement(path) as part:
        part.write_text("half")
        assert part.parent == tmp_path
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """The process may write no more than 4 KiB to a file."""
    path = tmp_path / "file"
    path.write_text("old")
    code = (
        "import sys\nfrom pathlib import Path\nfrom vs_gansr.common import files\n"
        "try:\n    files.write(Path(sys.argv[1]), bytes(10000))\nexcept OSError:\n    print('refused')\n"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120, preexec_fn=limit
    )
    assert done.stdout == "refused\n", done.stderr
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_two_writers_at_once_do_not_share_a_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with files.replacement(path) as first, files.replacement(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a[1].pt"
    files.write(path, b"whole")
    others = [tmp_path / name for name in ("a[1].other.part.pt", ".a1.0123abcd.part.pt", ".a[1].0123abcd.part.onnx")]
    others.append(tmp_path / ".a[1].b.0123abcd.part.pt")
    for other in others:
        other.write_bytes(b"another's")
    (tmp_path / ".a[1].0123abcd.part.pt").write_bytes(b"half")
    files.remove_leftovers(path)
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])
