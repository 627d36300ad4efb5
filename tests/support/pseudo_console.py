"""Start a program in a hidden console on Windows (a pseudo console)."""

from __future__ import annotations

import ctypes
import msvcrt
import os
import subprocess
import threading
from collections.abc import Sequence
from ctypes import wintypes
from types import TracebackType

__all__ = ["PseudoConsole"]

KERNEL = ctypes.WinDLL("kernel32", use_last_error=True)
PSEUDO_CONSOLE = 0x00020016  # PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE
EXTENDED = 0x00080000  # EXTENDED_STARTUPINFO_PRESENT
SIZE = 40 << 16 | 200  # rows and columns


class StartupInfo(ctypes.Structure):
    """STARTUPINFOEXW; what is not named here stays 0."""

    _fields_ = (("size", wintypes.DWORD), ("rest", ctypes.c_byte * 100), ("attributes", ctypes.c_void_p))


class ProcessInformation(ctypes.Structure):
    """PROCESS_INFORMATION."""

    _fields_ = (
        ("process", wintypes.HANDLE),
        ("thread", wintypes.HANDLE),
        ("pid", wintypes.DWORD),
        ("tid", wintypes.DWORD),
    )


def checked(result: int) -> None:
    if not result:
        raise ctypes.WinError(ctypes.get_last_error())


class PseudoConsole:
    """A console with one program in it; `wait` gives its exit code, `shown` is what it drew."""

    def __init__(self, words: Sequence[str]) -> None:
        reader, self._keys = os.pipe()
        self._screen, writer = os.pipe()
        self._console = ctypes.c_void_p()
        handles = [wintypes.HANDLE(msvcrt.get_osfhandle(end)) for end in (reader, writer)]
        result = KERNEL.CreatePseudoConsole(wintypes.DWORD(SIZE), *handles, 0, ctypes.byref(self._console))
        if result:
            raise ctypes.WinError(result)
        os.close(reader)
        os.close(writer)
        self.shown = bytearray()
        threading.Thread(target=self._draw, daemon=True).start()
        size = ctypes.c_size_t()
        KERNEL.InitializeProcThreadAttributeList(None, 1, 0, ctypes.byref(size))
        attributes = (ctypes.c_byte * size.value)()
        checked(KERNEL.InitializeProcThreadAttributeList(attributes, 1, 0, ctypes.byref(size)))
        checked(
            KERNEL.UpdateProcThreadAttribute(
                attributes, 0, ctypes.c_size_t(PSEUDO_CONSOLE), self._console, ctypes.c_size_t(8), None, None
            )
        )
        start = StartupInfo(ctypes.sizeof(StartupInfo), attributes=ctypes.addressof(attributes))
        made = ProcessInformation()
        line = ctypes.create_unicode_buffer(subprocess.list2cmdline(words))
        checked(
            KERNEL.CreateProcessW(
                None, line, None, None, False, EXTENDED, None, None, ctypes.byref(start), ctypes.byref(made)
            )
        )
        KERNEL.CloseHandle(wintypes.HANDLE(made.thread))
        self._process = wintypes.HANDLE(made.process)
        self.pid: int = made.pid

    def _draw(self) -> None:
        while data := os.read(self._screen, 4096):
            self.shown += data

    def wait(self, seconds: float) -> int:
        """The program's exit code. Raises TimeoutError where it does not end in time."""
        if KERNEL.WaitForSingleObject(self._process, int(1000 * seconds)):
            raise TimeoutError(f"it still runs after {seconds} s: {self.shown.decode(errors='replace')}")
        code = wintypes.DWORD()
        checked(KERNEL.GetExitCodeProcess(self._process, ctypes.byref(code)))
        return code.value

    def __enter__(self) -> PseudoConsole:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        KERNEL.TerminateProcess(self._process, 1)
        KERNEL.CloseHandle(self._process)
        KERNEL.ClosePseudoConsole(self._console)
        os.close(self._keys)
