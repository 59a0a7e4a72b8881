"""What was computed from an object that never changes, remembered as long as it is likely to be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

Value = TypeVar("Value")

#: Results that are kept; the one that was not asked for longest goes first.
MOST = 48

_lock = Lock()
_results: OrderedDict[tuple[int, str], tuple[Any, Any]] = OrderedDict()


def remembered(owner: Any, name: str, make: Callable[[], Value]) -> Value:
    """`make()`, computed once for each object.

    Parameters
    ----------
    owner : object
        What the result is computed from; nobody may change it afterwards. It is told apart by identity and kept alive with the result.
    name : str
        What is computed.
    make : callable
    """
    key = (id(owner), name)
    with _lock:
        found = _results.get(key)
        if found is not None and found[0] is owner:
            _results.move_to_end(key)
            value: Value = found[1]
            return value
    value = make()
    with _lock:
        _results[key] = (owner, value)
        while len(_results) > MOST:
            _results.popitem(last=False)
    return value
