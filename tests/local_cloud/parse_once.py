"""What botocore and LocalStack read or parse again and again, once: botocore its list of regions and each service's file for each
session, LocalStack the whole definition for each execution.
"""

from copy import deepcopy
from functools import cache, partial
from typing import Any

import botocore.loaders
import botocore.session


def regions() -> None:
    """botocore's own data, for each reader."""
    session: Any = botocore.session.Session
    known = cache(partial(session.get_available_regions, session()))
    session.get_available_regions = lambda _, *what, **named: list(known(*what, **named))


def services() -> None:
    """The files in which botocore has each service, and the list of them: a session that is new reads its own."""
    loader: Any = botocore.loaders.JSONFileLoader
    read = cache(partial(loader.load_file, loader()))
    loader.load_file = lambda _, path: read(path)
    finder: Any = botocore.loaders.Loader
    find, found = finder.list_available_services, dict[tuple[str, ...], Any]()

    def list_available_services(self: Any, kind: str) -> Any:
        where = (*self.search_paths, kind)
        if where not in found:
            found[where] = find(self, kind)
        return found[where]

    finder.list_available_services = list_available_services


def definitions(asl_parser: Any) -> None:
    """`asl_parser` is LocalStack's module. Each execution has a program of its own: it keeps state there."""
    parse_once = cache(asl_parser.AmazonStateLanguageParser.parse)

    def parse(definition: str) -> tuple[Any, Any]:
        program, tree = parse_once(definition)
        return deepcopy(program), tree

    asl_parser.AmazonStateLanguageParser.parse = staticmethod(parse)
