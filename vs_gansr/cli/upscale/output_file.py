"""Write the output under a temporary name beside it, and give it its own name when it is finished."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ...common import files
from ..common import CommandError

__all__ = ["commit", "discard", "reserve", "sync"]


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


def discard(temporary: Path) -> None:
    """Takes away an unfinished file, and what lay beside it to be attached."""
    for path in (temporary, *temporary.parent.glob(f"{temporary.name}.*")):
        files.delete(path)


def commit(temporary: Path, output: Path, overwrite: bool) -> None:
    """Gives the finished file its name, for good: it is on the disk before, and what it was made of is deleted after.

    Raises CommandError where someone else took the name meanwhile or does not let it be replaced, and says which name
    the finished file has instead, or where the disk does not take it.
    """
    try:
        sync(temporary)
        if overwrite:
            files.rename(temporary, output)
        else:
            claim(temporary, output)
        sync(output.parent)
    except FileExistsError as error:
        raise CommandError(
            f"{output} appeared in the meantime; the finished file is {kept(temporary, output)}"
        ) from error
    except PermissionError as error:
        raise CommandError(
            f"{output} cannot be replaced: it is read-only or open in another program ({error.strerror}); "
            f"the finished file is {kept(temporary, output)}"
        ) from error
    except OSError as error:
        raise refused(output, error) from error


def kept(temporary: Path, output: Path) -> Path:
    """The name like that of `output` that the finished file gets instead. Raises CommandError where it gets none."""
    path = output.with_name(f"{output.stem}.{secrets.token_hex(4)}{output.suffix}")
    try:
        files.rename(temporary, path)
    except OSError as error:
        raise refused(output, error) from error
    return path


def refused(output: Path, error: OSError) -> CommandError:
    return CommandError(f"the finished file cannot be renamed to {output}: {error.strerror}")


def sync(path: Path) -> None:
    """Waits until a file, or a folder's names where the system can, have reached the disk."""
    folder = path.is_dir()
    if folder and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        with contextlib.suppress(OSError) if folder else contextlib.nullcontext():  # not on every network's disks
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
