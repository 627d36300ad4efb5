"""No telemetry, no unexpected files, and an error instead of a hang after fork."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import footage
import pytest

from vs_gansr.cli.common import CommandError
from vs_gansr.cli.upscale.source import media

CALLS = "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
TRACED = f"trace=connect,sendto,sendmsg,sendmmsg,{CALLS}"
CALL = re.compile(rf"\b({CALLS.replace(',', '|')})\((.*?)(?:\) += (\S+)|<unfinished)")
PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"')


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own, in which nobody has said anything about telemetry."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    return own | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}


def files(folder: Path) -> set[str]:
    """All files below, by their path in it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def changed(calls: str) -> list[str]:
    """Whatever strace's log says was written, made, renamed or linked, or may have been."""
    found = []
    for name, arguments, result in CALL.findall(calls):
        reads = name in ("open", "openat") and not re.search("O_WRONLY|O_RDWR|O_CREAT", arguments)
        paths = PATH.findall(arguments)
        if paths and not reads and not result.startswith("-"):
            found.append(os.path.normpath(os.path.join(*paths[-1])))  # noqa: PTH118 - an absolute one stands alone
    return found


def test_what_is_read_out_of_a_log() -> None:
    lines = (
        'openat(AT_FDCWD</home/me>, "a", O_RDONLY|O_CLOEXEC) = 3',
        'openat(AT_FDCWD</home/me>, "b", O_WRONLY|O_CREAT, 0666) = 3</home/me/b>',
        'openat(4</srv>, "c", O_RDWR <unfinished ...>',
        'mkdir("/d", 0777) = -1 EEXIST (File exists)',
        'rename("/e", "/f") = 0',
    )
    assert changed("\n".join(lines)) == ["/home/me/b", "/srv/c", "/f"]


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "chunk"), [("OpenVINO", "0"), ("CPU", "3")])
def test_an_encode_writes_and_asks_for_nothing_else(
    environment: dict[str, str], tmp_path: Path, provider: str, chunk: str
) -> None:
    """With a shipped model, at once and in chunks, by either runtime; so long that its index is kept."""
    source, output = footage.plain(tmp_path / "in.mp4", frames=150), tmp_path / "results" / "out.mkv"
    output.parent.mkdir()
    log = tmp_path / "strace.log"
    traced = [shutil.which("strace"), "-f", "-y", "--seccomp-bpf", "-qq", "-e", TRACED, "-o", str(log)]
    gansr = [sys.executable, "-m", "vs_gansr", "upscale", str(source), str(output), "--model", "fast-2x"]
    words = [*(traced if traced[0] else []), *gansr, "--provider", provider, "--chunk", chunk, "--preset", "ultrafast"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert f"on {provider}" in done.stderr
    left = files(tmp_path / "home")
    assert not [path for path in left if "telemetry" in path.lower() or "Microsoft" in path or ".onnxruntime" in path]
    assert all(path.startswith(".cache/gansr/") for path in left), left
    assert any(path.endswith(".bsindex") for path in left)
    assert files(output.parent) == {"out.mkv"}
    assert not files(tmp_path / "temporary")
    if not traced[0]:
        pytest.skip("strace is not installed; files were looked at, network calls were not")
    calls = log.read_text(errors="replace")
    assert not re.findall(r".*\b(?:AF_INET6?|sin_port).*", calls)
    own = [tmp_path / "home" / ".cache", output.parent, tmp_path / "temporary"]
    allowed = tuple(map(str, (*own, "/dev", "/proc")))
    written = changed(calls)
    assert any(path.startswith(str(output.parent)) for path in written), "the log was not understood"
    assert not [path for path in written if not path.startswith(allowed) and "__pycache__" not in path]


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nhttp://127.0.0.1:{port}/film.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/film.ts'\n",
    ],
    ids=["HLS", "concat"],
)
def test_a_playlist_in_disguise_opens_no_connection(tmp_path: Path, text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        source = tmp_path / "film.mkv"
        source.write_text(text.format(port=server.getsockname()[1]))
        with pytest.raises(CommandError, match="cannot be read as video"):
            media.probe(str(source))
        with pytest.raises(TimeoutError):
            server.accept()


def test_telemetry_is_the_user_s_to_turn_on(environment: dict[str, str]) -> None:
    words = [sys.executable, "-c", "import os, vs_gansr; print(os.environ['ORT_DISABLE_TELEMETRY'])"]
    for given, kept in ({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0"):
        assert subprocess.run(words, env=environment | given, capture_output=True, text=True).stdout.strip() == kept


FORK = """
import os, sys, vapoursynth as vs
clip = vs.core.std.BlankClip(format=vs.GRAYS, width=16, height=16, length=1)
clip.gansr.Upscale(sys.argv[1]).get_frame(0)
child = os.fork()
if child == 0:
    try:
        clip.gansr.Upscale(sys.argv[1])
    except vs.Error as error:
        os.write(1, str(error).encode())
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_forked_process_is_refused(point_model: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, point_model], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("Upscale: this process was forked") and "spawn" in done.stdout, done.stderr
