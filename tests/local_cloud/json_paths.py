"""jsonpath_ng makes its parser anew for each path that it parses, which was two thirds of what both interpreters of our state
machine did: LocalStack's, and moto's.
"""

from functools import cache
from typing import Any

import jsonpath_ng
import jsonpath_ng.ext


def parse_each_once() -> None:
    """For whoever imports `parse` from now on."""
    modules: tuple[Any, ...] = (jsonpath_ng, jsonpath_ng.ext)
    for module in modules:
        if not hasattr(module.parse, "cache_info"):
            module.parse = cache(module.parse)
