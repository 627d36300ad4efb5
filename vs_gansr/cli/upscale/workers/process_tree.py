"""End a process on Windows together with all processes that it has started.

There a killed process leaves its children running; a job object does what the process group does elsewhere.
"""

from __future__ import annotations

import sys

__all__ = ["ProcessTree"]

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    ASSIGN = 0x0100 | 0x0001  # PROCESS_SET_QUOTA and PROCESS_TERMINATE
    EXTENDED_LIMITS = 9  # JobObjectExtendedLimitInformation
    KILL_ON_CLOSE = 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE

    class BasicJobLimits(ctypes.Structure):
        """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

        _fields_ = (
            ("process_time", ctypes.c_int64),
            ("job_time", ctypes.c_int64),
            ("flags", wintypes.DWORD),
            ("least_working_set", ctypes.c_size_t),
            ("most_working_set", ctypes.c_size_t),
            ("processes", wintypes.DWORD),
            ("affinity", ctypes.c_size_t),
            ("priority", wintypes.DWORD),
            ("scheduling", wintypes.DWORD),
        )

    class JobLimits(ctypes.Structure):
        """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

        _fields_ = (("basic", BasicJobLimits), ("io", ctypes.c_uint64 * 6), ("memory", ctypes.c_size_t * 4))

    KERNEL = ctypes.WinDLL("kernel32", use_last_error=True)
    KERNEL.CreateJobObjectW.restype = wintypes.HANDLE
    KERNEL.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
    KERNEL.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD)
    KERNEL.OpenProcess.restype = wintypes.HANDLE
    KERNEL.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
    KERNEL.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
    KERNEL.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
    KERNEL.CloseHandle.argtypes = (wintypes.HANDLE,)

    class ProcessTree:
        """A process and all that it starts from now on. Windows ends them when this process ends, however it does."""

        def __init__(self, pid: int) -> None:
            """`pid` of a process that was just started. Raises OSError where Windows refuses."""
            self._job = checked(KERNEL.CreateJobObjectW(None, None))
            limits = JobLimits()
            limits.basic.flags = KILL_ON_CLOSE
            size = ctypes.sizeof(limits)
            checked(KERNEL.SetInformationJobObject(self._job, EXTENDED_LIMITS, ctypes.byref(limits), size))
            process = checked(KERNEL.OpenProcess(ASSIGN, False, pid))
            try:
                checked(KERNEL.AssignProcessToJobObject(self._job, process))
            finally:
                KERNEL.CloseHandle(process)

        def kill(self) -> None:
            """Ends all of them; nothing where they have ended."""
            checked(KERNEL.TerminateJobObject(self._job, 1))

        def __del__(self) -> None:
            if hasattr(self, "_job"):
                KERNEL.CloseHandle(self._job)

    def checked(result: int | None) -> int:
        """`result` of a function of Windows' that gives 0 where it fails; raises OSError then."""
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result
