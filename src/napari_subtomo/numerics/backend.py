"""The door to the GPU: the array namespace comes from the array, and only this module imports cupy."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from napari_subtomo.errors import DeviceError, OptionError

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # options of mallopt, as <malloc.h> has them
KEPT_BYTES = 2**26  # of freed memory that a thread keeps for later at most; `malloc_trim` leaves it to the threads
MAPPED_BYTES = 2**25  # an array that is not kept has at least so many: the most that glibc allows
COMPILER_BYTES = 45e6  # numba, the loops that it has compiled, and what that took


def _cupy() -> ModuleType | None:
    """cupy if it is installed and finds a device, else None."""
    try:
        import cupy

        return cupy if cupy.cuda.runtime.getDeviceCount() > 0 else None
    except Exception:  # a missing library or driver shows itself in many exception classes
        return None


def namespace(*arrays: Any) -> Any:
    """Module (numpy or cupy) that computes on these arrays."""
    for array in arrays:
        if type(array).__module__.split(".")[0] == "cupy":
            import cupy

            return cupy
    return np


def scipy_namespace(*arrays: Any) -> Any:
    """`scipy` or `cupyx.scipy` for these arrays (use `.special`, `.sparse`, `.ndimage` of it)."""
    if namespace(*arrays) is np:
        import scipy.ndimage
        import scipy.special

        return scipy
    import cupyx.scipy.ndimage
    import cupyx.scipy.special

    return cupyx.scipy


def expects_loops() -> bool:
    """Whether a job will find compiled loops; the compiler, which takes a while and memory, is not loaded for the answer."""
    return find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"


def loops_bytes() -> float:
    """Memory of the compiler and of what it has made in a job, where there will be compiled loops."""
    return COMPILER_BYTES if expects_loops() else 0.0


def loops() -> Any:
    """The compiled loops for arrays of the processor (`numerics.loops`); None where numba is not installed, or told not to compile."""
    return _loaded_loops()


@lru_cache(maxsize=1)
def _loaded_loops() -> Any:
    """`loops`, looked for once."""
    try:
        import numba

        from napari_subtomo.numerics import loops as compiled
    except ImportError:  # not there, or not for this version of numpy
        return None
    return None if getattr(numba.config, "DISABLE_JIT", 0) else compiled


def fft_module(xp: Any) -> Any:
    """Module with the fast transforms of a namespace that keep single precision."""
    if xp is np:
        import scipy.fft

        return scipy.fft
    return xp.fft


def to_host(array: Any) -> Any:
    """The array as numpy array; numpy arrays are passed through."""
    return array if namespace(array) is np else namespace(array).asnumpy(array)


def to_device(array: Any, device: str) -> Any:
    """The array on `device` ("cpu" or "cuda:N")."""
    if device == "cpu":
        return to_host(array)
    with device_context(device):
        import cupy

        try:
            return cupy.asarray(array)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise DeviceError(
                f"GPU {device} has not enough free memory for an array of {np.asarray(array).nbytes / 2**20:.0f} MB."
            ) from error


def resolve_device(device: str) -> str:
    """The device that will be used: "auto" becomes "cuda:0" where CuPy finds a GPU, else "cpu".

    Raises
    ------
    OptionError
        The name is none of auto, cpu, cuda, cuda:N.
    DeviceError
        A GPU was asked for and there is none of that number.
    """
    cupy = _cupy()
    if device == "auto":
        return "cpu" if cupy is None else "cuda:0"
    if device == "cpu":
        return device
    name, _, number = device.partition(":")
    if name != "cuda" or not (number or "0").isdigit():
        raise OptionError(f"Expected a device auto, cpu or cuda:N, found '{device}'.")
    if cupy is None:
        raise DeviceError(
            f"Expected a CUDA GPU for device '{device}', found none that CuPy can use; "
            "install the cuda12 or cuda13 extra or use --device cpu."
        )
    count = cupy.cuda.runtime.getDeviceCount()
    if int(number or 0) >= count:
        raise DeviceError(f"Expected a GPU number below {count}, found device '{device}'.")
    return f"cuda:{int(number or 0)}"


def resolve_devices(devices: str) -> tuple[str, ...]:
    """The devices of a list with commas, each as `resolve_device` has it.

    Raises
    ------
    OptionError
        A name is none of auto, cpu, cuda, cuda:N; the list has a device twice, or a processor beside GPUs.
    DeviceError
        A GPU was asked for and there is none of that number.
    """
    found = tuple(resolve_device(name.strip()) for name in devices.split(","))
    if len(set(found)) < len(found) or (len(found) > 1 and "cpu" in found):
        raise OptionError(f"Expected one device or several different GPUs such as cuda:0,cuda:1, found '{devices}'.")
    return found


def device_context(device: str) -> AbstractContextManager[Any]:
    """Context in which new arrays of the device's namespace land on it."""
    if device == "cpu":
        return nullcontext()
    import cupy

    context: AbstractContextManager[Any] = cupy.cuda.Device(int(device.partition(":")[2] or 0))
    return context


def release_memory(device: str) -> None:
    """Give memory that is no longer used, but kept for later, back to the device or the system, where that can be asked for."""
    if device != "cpu":
        import cupy

        with device_context(device):
            cupy.get_default_memory_pool().free_all_blocks()
        return
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


def keep_freed_memory() -> None:
    """Let this program keep much of what it frees, up to `KEPT_BYTES` of each thread, where that can be asked for.

    An array that is made and dropped for every particle would otherwise be taken from the system, filled with zeros page by page, and
    given back each time; threads of a program wait for each other while that is done.
    """
    option = _of_glibc("mallopt")
    if option is not None:
        option(MMAP_THRESHOLD, MAPPED_BYTES)
        option(TRIM_THRESHOLD, KEPT_BYTES)


def _malloc_trim() -> Any:
    """glibc's function that returns free pages; without it a program keeps what it once needed, arena by arena. None elsewhere."""
    return _of_glibc("malloc_trim")


@lru_cache(maxsize=2)
def _of_glibc(name: str) -> Any:
    """A function of glibc, None elsewhere."""
    if sys.platform != "linux":
        return None
    try:
        return getattr(ctypes.CDLL("libc.so.6"), name)
    except (OSError, AttributeError):  # another C library
        return None


def free_bytes(device: str) -> int:
    """Memory in bytes that a job may plan with: free GPU memory, or available main memory within the limits of this process's group."""
    if device != "cpu":
        import cupy

        with device_context(device):
            return int(cupy.cuda.runtime.memGetInfo()[0])
    available = 4 * 2**30
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    available = int(line.split()[1]) * 1024
    except OSError:
        pass
    return min([available, *_left_in_groups()])


def _left_in_groups(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> list[int]:
    """Bytes that limits of control groups leave (containers, batch systems); pages of files count as free, as in MemAvailable."""
    left = []
    try:
        with open(own) as lines:
            rows = [line.rstrip("\n").split(":", 2) for line in lines]
    except OSError:
        return []
    for number, kinds, path in (row for row in rows if len(row) == 3):
        second = number == "0" and not kinds
        if not second and "memory" not in kinds.split(","):
            continue
        names = ("memory.max", "memory.current", "inactive_file", "active_file")
        if not second:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file")
        top = root if second else f"{root}/memory"
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts) + 1):
            folder = "/".join([top, *parts[:depth]])
            try:
                with open(f"{folder}/{names[0]}") as limit, open(f"{folder}/{names[1]}") as used, open(f"{folder}/memory.stat") as stat:
                    most = limit.read().strip()
                    files = sum(int(line.split()[1]) for line in stat if line.split()[0] in names[2:])
                    if most != "max":
                        left.append(max(0, int(most) - int(used.read()) + files))
            except (OSError, ValueError, IndexError):
                continue
    return left
