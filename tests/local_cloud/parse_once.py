"""Two thirds of what the interpreters of our state machine did, LocalStack's and moto's, was parsing: jsonpath_ng makes its
parser anew for each path, and each execution reads the whole definition again.
"""

from functools import cache
from typing import Any

import jsonpath_ng
import jsonpath_ng.ext


def json_paths() -> None:
    """For whoever imports jsonpath_ng's `parse` from now on."""
    modules: tuple[Any, ...] = (jsonpath_ng, jsonpath_ng.ext)
    for module in modules:
        if not hasattr(module.parse, "cache_info"):
            module.parse = cache(module.parse)


def definitions(asl_parser: Any) -> None:
    """`asl_parser` is LocalStack's module, or moto's. An execution still has a program of its own, made from the shared tree."""
    parse_anew = cache(asl_parser.AmazonStateLanguageParser.parse)

    def parse(definition: str) -> tuple[Any, Any]:
        _, tree = parse_anew(definition)
        return asl_parser.Preprocessor().visit(tree), tree

    asl_parser.AmazonStateLanguageParser.parse = staticmethod(parse)
