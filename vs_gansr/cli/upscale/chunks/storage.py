"""Owns the way of finished chunks through shared storage on a cluster: any file system that fsspec speaks.

Each run has a place of its own below the URL that it is given, `gansr-<id>/`. A node puts a chunk there, the driver
gets it and deletes it. A file `storage-<id>` in the job's folder says that there is such a place, from before it is
made until it is deleted, so whatever ends a run, the next one finds what is left. Credentials are fsspec's concern.
"""

from __future__ import annotations

import contextlib
import queue
import re
import secrets
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ....errors import one_line
from ...common import CommandError, say

__all__ = ["begin", "check", "clear", "drop", "get", "opened", "put", "record_of", "sees"]

TOKEN = "token"  # by which a node knows that it sees what the driver sees
PATIENCE = 30.0  # seconds that deleting what is left may take at the end of a run


def check(url: str) -> None:
    """Raises CommandError for a URL that chunks cannot go to, as far as this machine alone can tell."""
    if "://" not in url or "::" in url:
        raise CommandError(
            f"--cluster-storage {url}: give one URL as fsspec has them: s3://bucket/films, file:///mnt/x"
        )
    if re.search(r"://[^/@]*:[^/@]*@", url):
        raise CommandError(
            "--cluster-storage takes no password, which would be written down and shown to every node; "
            "put it into fsspec's own configuration on each node"
        )
    opened(url)


def opened(url: str) -> tuple[Any, str]:
    """fsspec's file system of `url`, and what the latter is called in it. Raises CommandError where there is none."""
    try:
        import fsspec
    except ImportError as error:
        raise CommandError('fsspec is not installed; run: pip install "vs-gansr[cli,cluster]"') from error
    try:
        files, path = fsspec.core.url_to_fs(url)
        files.invalidate_cache()  # others write there, too
    except ImportError as error:  # fsspec says which package the protocol needs
        raise CommandError(f"{url}: {one_line(error)} (needed on every node)") from error
    except Exception as error:  # each file system has its own
        raise CommandError(f"{url} cannot be opened: {one_line(error)}") from error
    return files, path.rstrip("/")


def begin(folder: Path, url: str) -> str:
    """A new place below `url`, recorded in the job's `folder`; places of earlier runs are deleted.

    Raises CommandError where nothing can be written there.
    """
    clear(folder, forget=False)  # a node whose driver was killed may end an upload later than this
    place = f"{url.rstrip('/')}/gansr-{secrets.token_hex(8)}"
    record_of(folder, place).write_text(place, "utf-8")
    files, path = opened(place)
    try:
        if renames(files):  # object stores have no folders, and might make a bucket of a misspelt name
            files.makedirs(path, exist_ok=True)
        files.pipe_file(f"{path}/{TOKEN}", place.encode())
    except Exception as error:
        raise CommandError(f"nothing can be written to {url}: {said(error)}") from error
    return place


def record_of(folder: Path, place: str) -> Path:
    """The file in a job's folder that says that there is such a place."""
    return folder / f"storage-{place.rpartition('-')[2]}"


def sees(place: str) -> None:
    """Raises CommandError where `place` is not, seen from here, what the driver wrote."""
    files, path = opened(place)
    try:
        found = files.cat_file(f"{path}/{TOKEN}")
    except Exception as error:
        raise CommandError(f"does not see what the driver wrote to {place}: {said(error)}") from error
    if found != place.encode():
        raise CommandError(f"sees something else than the driver in {place}")


def put(place: str, path: Path) -> str:
    """Uploads a file; returns the name that it has in `place`, which nothing had before and only what is whole has.

    Where a file system can rename it has another name until then; object stores show an object when it is whole.
    Raises CommandError where it does not arrive, or not in its size.
    """
    name = f"{path.stem}-{secrets.token_hex(4)}{path.suffix}"
    files, folder = opened(place)
    final = f"{folder}/{name}"
    sent = f"{final}.part" if renames(files) else final
    try:
        files.put_file(str(path), sent)
        files.invalidate_cache()
        size = files.info(sent)["size"]
        if size == path.stat().st_size and sent != final:
            files.mv(sent, final)
    except Exception as error:
        raise CommandError(f"{path.name} did not get to {place}: {said(error)}") from error
    if size != path.stat().st_size:
        raise CommandError(f"{path.name} got to {place} with {size} of {path.stat().st_size} bytes")
    return name


def get(place: str, name: str, path: Path) -> None:
    """Downloads what `put` has named to `path`. Raises CommandError where it cannot be read."""
    files, folder = opened(place)
    try:
        files.get_file(f"{folder}/{name}", str(path))
    except Exception as error:
        raise CommandError(f"{name} cannot be read from {place}: {said(error)}") from error


def drop(place: str, name: str) -> None:
    """Deletes what has been read; what cannot be is tried again at the end of the run."""
    with contextlib.suppress(Exception):
        files, folder = opened(place)
        files.rm_file(f"{folder}/{name}")


def clear(folder: Path, place: str | None = None, forget: bool = True) -> None:
    """Deletes a place, or all that a job's `folder` has a record of, and with `forget` the record.

    Says so where that fails; the record is kept then.
    """
    for record in [record_of(folder, place)] if place else sorted(folder.glob("storage-*")):
        with contextlib.suppress(FileNotFoundError):
            left = record.read_text("utf-8")
            if failed := in_time(partial(remove, left)):
                say(f"{left} could not be deleted: {failed}")
            elif forget:
                record.unlink(missing_ok=True)


def in_time(work: Callable[[], str]) -> str:
    """What `work` returns, or that it took too long: a network may not answer, and Ctrl-C is of no use by then."""
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(work()), daemon=True).start()
    try:
        return answer.get(timeout=PATIENCE)
    except queue.Empty:
        return f"no answer within {PATIENCE:g} s"


def remove(place: str) -> str:
    """Deletes a place with all it holds; returns what went wrong, or nothing."""
    try:
        files, path = opened(place)
        if files.exists(path):
            files.rm(path, recursive=True)
    except FileNotFoundError:
        return ""
    except Exception as error:
        return said(error)
    return ""


def renames(files: Any) -> bool:
    """Whether a file system has a move of its own; fsspec's copies and deletes."""
    from fsspec import AbstractFileSystem

    return type(files).mv is not AbstractFileSystem.mv


def said(error: Exception) -> str:
    """An error in words, also where a file system's has none but its type's."""
    return error.args[0] if isinstance(error, CommandError) else f"{type(error).__name__}: {one_line(error)}"
