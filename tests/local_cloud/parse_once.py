"""Two thirds of what the interpreters of our state machine did, LocalStack's and moto's, was parsing: jsonpath_ng makes its
parser anew for each path, and each execution reads the whole definition again. And a fifth of what they do before they can
begin is that botocore reads its list of regions, and each service's file, anew for each session.
"""

from copy import deepcopy
from functools import cache, partial
from typing import Any

import botocore.loaders
import botocore.session
import jsonpath_ng
import jsonpath_ng.ext


def regions() -> None:
    """botocore's own data, whoever asks."""
    session: Any = botocore.session.Session
    known = cache(partial(session.get_available_regions, session()))
    session.get_available_regions = lambda _, *what, **named: list(known(*what, **named))


def services() -> None:
    """The files in which botocore has each service: a session that is new reads its own."""
    loader: Any = botocore.loaders.JSONFileLoader
    read = cache(partial(loader.load_file, loader()))
    loader.load_file = lambda _, path: read(path)


def json_paths() -> None:
    """For whoever imports jsonpath_ng's `parse` from now on."""
    modules: tuple[Any, ...] = (jsonpath_ng, jsonpath_ng.ext)
    for module in modules:
        if not hasattr(module.parse, "cache_info"):
            module.parse = cache(module.parse)


def definitions(asl_parser: Any) -> None:
    """`asl_parser` is LocalStack's module, or moto's. Each execution has a program of its own: it keeps state there."""
    parse_once = cache(asl_parser.AmazonStateLanguageParser.parse)

    def parse(definition: str) -> tuple[Any, Any]:
        program, tree = parse_once(definition)
        return deepcopy(program), tree

    asl_parser.AmazonStateLanguageParser.parse = staticmethod(parse)
