"""Write the output under a temporary name beside it, and give it its own name when it is finished."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ...common import files
from ..common import CommandError

__all__ = ["NotRenamed", "commit", "discard", "reserve", "sync"]


def reserve(output: Path) -> Path:
    """A new, empty file in the output's folder, whose name says what it is."""
    temporary = output.with_name(f".gansr-{secrets.token_hex(4)}{output.suffix}")
    try:
        temporary.open("xb").close()
    except FileNotFoundError as error:
        raise CommandError(f"the folder {output.parent} does not exist; create it first") from error
    except OSError as error:
        raise CommandError(f"nothing can be written into {output.parent}: {error.strerror}") from error
    return temporary


class NotRenamed(CommandError):
    """The finished file does not have the output's name. The message says which name it has."""


def discard(temporary: Path, finished: bool = False) -> None:
    """Deletes a file and what lies beside it to be attached; a `finished` one, which has no other name, is kept."""
    for path in (*([] if finished else [temporary]), *temporary.parent.glob(f"{temporary.name}.*")):
        files.delete(path)


def commit(temporary: Path, output: Path, overwrite: bool) -> None:
    """Gives the finished file its name, for good: it is on the disk before, and what it was made of is deleted after.

    Raises NotRenamed where that fails, such as where someone else took the name meanwhile or has the file open,
    CommandError where the file is gone.
    """
    try:
        sync(temporary)
        if overwrite:
            files.rename(temporary, output)
        else:
            claim(temporary, output)
    except OSError as error:
        if not temporary.exists():
            raise CommandError(
                f"{temporary} was deleted before it could become {output}; run the command again"
            ) from error
        if isinstance(error, FileExistsError):
            reason = f"{output} appeared in the meantime"
        elif isinstance(error, PermissionError):
            reason = f"{output} cannot be replaced: it is read-only or open in another program ({error.strerror})"
        else:
            reason = f"the finished file cannot be saved as {output} ({error.strerror})"
        raise NotRenamed(f"{reason}; the finished file is {kept(temporary, output)}") from error
    sync(output.parent)


def kept(temporary: Path, output: Path) -> Path:
    """The name that the finished file has instead: one like that of `output`, or where that fails the temporary one."""
    path = output.with_name(f"{output.stem}.{secrets.token_hex(4)}{output.suffix}")
    try:
        files.rename(temporary, path)
    except OSError:
        return temporary
    return path


def sync(path: Path) -> None:
    """Waits until a file, or a folder's names where the system can, have reached the disk."""
    folder = path.is_dir()
    if folder and os.name != "posix":
        return
    with contextlib.suppress(OSError) if folder else contextlib.nullcontext():  # not on every network's disks
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def claim(temporary: Path, output: Path) -> None:
    """Renames without overwriting."""
    try:
        os.link(temporary, output)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if output.exists():
            raise FileExistsError(output) from None
        temporary.rename(output)
