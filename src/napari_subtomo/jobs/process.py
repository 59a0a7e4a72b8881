"""Is the process that wrote this folder still there?"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def process_token(pid: int) -> str:
    """A text that differs when another process gets the same number: the start time in clock ticks since boot (Linux), else empty."""
    try:
        # proc(5): the name in brackets may hold spaces, so count the fields from the last bracket; starttime is field 22
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_alive(pid: int, token: str = "") -> bool:
    """Whether process `pid` of this host runs and is the one that had `token`."""
    if sys.platform == "win32":  # os.kill would end the process there
        return _is_alive_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    if _is_zombie(pid):
        return False
    return not token or process_token(pid) in ("", token)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def _is_alive_windows(pid: int) -> bool:
    import ctypes

    query_limited_information, still_active = 0x1000, 259
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - the name exists on Windows alone
    handle = kernel.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == still_active
