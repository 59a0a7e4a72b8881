"""A stand-in for CuPy that computes on the processor and refuses what CuPy refuses, and some of what it only does slowly.

Arrays of two devices, "cuda:0" and "cuda:1", do not mix with each other, nor with numpy's; a kernel runs only where its arrays are;
reductions and single elements are arrays; a product with a sparse matrix comes out in Fortran order, and only C-ordered arrays can be
viewed with an item size of another length (CuPy pairs numbers along the wrong axis otherwise).
"""

from __future__ import annotations

import sys
import threading
import types
from contextlib import contextmanager

import numpy as np
import scipy.sparse
from numpy.lib.mixins import NDArrayOperatorsMixin

DEVICES = 2


class _Current(threading.local):
    """The current device of a thread, 0 where nothing else was said."""

    def __init__(self):
        self.stack = [0]


_current = _Current()


class ndarray(NDArrayOperatorsMixin):
    """An array on the device that was current when it was made."""

    __module__ = "cupy"
    __hash__ = None

    def __init__(self, values, device_id=None):
        self._values = np.asarray(values)
        self.device_id = _current.stack[-1] if device_id is None else device_id

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__":
            raise TypeError(f"{ufunc.__name__}.{method} is not there for device arrays")
        out = kwargs.pop("out", None)
        result = ufunc(*unwrap(inputs), **unwrap(kwargs), **({"out": unwrap(out)} if out else {}))
        return out[0] if out else wrap(result)

    def __array_function__(self, function, _types, args, kwargs):
        module = sys.modules["cupy"]
        for part in function.__module__.split(".")[1:]:
            module = getattr(module, part)
        return getattr(module, function.__name__)(*args, **kwargs)

    def __getitem__(self, key):
        return wrap(unwrap(self)[unwrap(key)])

    def __setitem__(self, key, value):
        unwrap(self)[unwrap(key)] = unwrap(value)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __len__(self):
        return len(self._values)

    def __bool__(self):
        return bool(self._values)

    def __int__(self):
        return int(self._values)

    def __index__(self):
        return self._values.__index__()

    def __float__(self):
        return float(self._values)

    def __repr__(self):
        return f"device {self.device_id}: {self._values!r}"

    def get(self):
        return self._values.copy()

    def view(self, dtype):
        values = unwrap(self)
        if np.dtype(dtype).itemsize != values.dtype.itemsize and not values.flags.c_contiguous:
            raise ValueError("To change to a dtype of a different size, the array must be C-contiguous")
        return wrap(values.view(dtype))


def _forward(name):
    def method(self, *args, **kwargs):
        return wrap(getattr(unwrap(self), name)(*unwrap(args), **unwrap(kwargs)))

    return method


METHODS = (
    "all any argmax argmin argsort astype conj copy cumsum dot flatten max mean min nonzero prod ravel reshape squeeze std sum swapaxes "
    "take transpose var"
)
for _name in METHODS.split():
    setattr(ndarray, _name, _forward(_name))
for _name in ("T", "real", "imag"):
    setattr(ndarray, _name, property(lambda self, name=_name: wrap(getattr(self._values, name), self.device_id)))
for _name in ("shape", "ndim", "size", "dtype", "nbytes", "itemsize", "flags", "strides"):
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._values, name)))


def wrap(value, device_id=None):
    """Numpy arrays and numbers as device arrays."""
    if isinstance(value, tuple | list):
        kind = tuple if hasattr(value, "_fields") else type(value)  # named tuples take their parts one by one
        return kind(wrap(v, device_id) for v in value)
    return ndarray(value, device_id) if isinstance(value, np.ndarray | np.generic) else value


def unwrap(value):
    """Device arrays as numpy arrays; refuses numpy arrays and arrays of another device."""
    if isinstance(value, ndarray):
        if value.device_id != _current.stack[-1]:
            raise ValueError(
                f"Array device must be same as the current device: array device = {value.device_id}, current = {_current.stack[-1]}"
            )
        return value._values
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, tuple | list):
        return type(value)(unwrap(v) for v in value)
    return {k: unwrap(v) for k, v in value.items()} if isinstance(value, dict) else value


class _Namespace(types.ModuleType):
    """Functions of a numpy module for device arrays; ufuncs have no `reduce`, `at` or `accumulate`."""

    def __init__(self, name, source):
        super().__init__(name)
        self._source = source

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._source, name)
        if isinstance(found, types.ModuleType):
            return _Namespace(f"{self.__name__}.{name}", found)
        if isinstance(found, type) or not callable(found):
            return found

        def function(*args, **kwargs):
            return wrap(found(*unwrap(args), **unwrap(kwargs)))

        return function


def asarray(values, dtype=None):
    """To the current device; arrays of another device are copied."""
    values = values._values if isinstance(values, ndarray) else values
    return ndarray(np.array(values, dtype=dtype))


def asnumpy(values):
    """To the host, from any device."""
    return values.get()


class csr_matrix:
    """Compressed rows on a device."""

    def __init__(self, parts, shape=None, matrix=None):
        self.matrix = scipy.sparse.csr_matrix(tuple(unwrap(p) for p in parts), shape=shape) if matrix is None else matrix
        if self.matrix.dtype.char not in "?fdFD":
            raise ValueError("Only bool, float32, float64, complex64 and complex128 are supported")

    @property
    def T(self):
        return csr_matrix((), matrix=self.matrix.T)

    def __matmul__(self, dense):
        return ndarray(np.asfortranarray(self.matrix @ unwrap(dense)))

    def __rmatmul__(self, dense):
        raise TypeError("no product of a dense with a sparse matrix")


class Device:
    """Makes a device current."""

    def __init__(self, number):
        self.number = number

    def __enter__(self):
        _current.stack.append(self.number)

    def __exit__(self, *_):
        _current.stack.pop()


class OutOfMemoryError(MemoryError):
    """Never raised here."""


def _module(name, **content):
    module = types.ModuleType(name)
    vars(module).update(content)
    return module


@contextmanager
def installed():
    """`import cupy` and `import cupyx` find the stand-in."""
    cupy = _Namespace("cupy", np)
    properties = {"name": b"stand-in", "totalGlobalMem": 2**30}
    runtime = _module("cupy.cuda.runtime", getDeviceCount=lambda: DEVICES, memGetInfo=lambda: (2**30, 2**31))
    vars(runtime).update(getDeviceProperties=lambda _: properties, runtimeGetVersion=lambda: 13000, driverGetVersion=lambda: 13000)
    pool = types.SimpleNamespace(free_all_blocks=lambda: None, total_bytes=lambda: 0)
    memory = _module("cupy.cuda.memory", OutOfMemoryError=OutOfMemoryError)
    cuda = _module("cupy.cuda", runtime=runtime, memory=memory, Device=Device)
    vars(cupy).update(
        ndarray=ndarray, asarray=asarray, array=asarray, asnumpy=asnumpy, cuda=cuda, get_default_memory_pool=lambda: pool, __version__="0"
    )
    parts = {name: _module(f"cupyx.scipy.{name}") for name in ("ndimage", "special", "sparse")}
    parts["sparse"].csr_matrix = csr_matrix
    cupyx_scipy = _module("cupyx.scipy", **parts)
    modules = {"cupy": cupy, "cupyx": _module("cupyx", scipy=cupyx_scipy), "cupyx.scipy": cupyx_scipy}
    modules |= {f"cupyx.scipy.{name}": part for name, part in parts.items()}
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield cupy
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
