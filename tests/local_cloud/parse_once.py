"""Two thirds of what LocalStack's interpreter of our state machine did was parsing: jsonpath_ng makes its parser anew for each
path, and each execution reads the whole definition again. A fifth of what it does before it can begin is that botocore reads
its list of regions, and each service's file, anew for each session. And each state that calls a function makes a client of its
own for it.
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


def json_paths() -> None:
    """For whoever imports jsonpath_ng's `parse` from now on."""
    modules: tuple[Any, ...] = (jsonpath_ng, jsonpath_ng.ext)
    for module in modules:
        if not hasattr(module.parse, "cache_info"):
            module.parse = cache(module.parse)


def definitions(asl_parser: Any) -> None:
    """`asl_parser` is LocalStack's module. Each execution has a program of its own: it keeps state there."""
    parse_once = cache(asl_parser.AmazonStateLanguageParser.parse)

    def parse(definition: str) -> tuple[Any, Any]:
        program, tree = parse_once(definition)
        return deepcopy(program), tree

    asl_parser.AmazonStateLanguageParser.parse = staticmethod(parse)


def clients(module: Any) -> None:
    """`module` makes the clients of an interpreter: each one with the credentials of the state machine's role, once."""
    make, made = module.boto_client_for, dict[tuple[str, str, str], Any]()

    def boto_client_for(service: str, region: str, state_credentials: Any) -> Any:
        whose = (service, region, str(state_credentials.role_arn))
        if whose not in made:
            made[whose] = make(service=service, region=region, state_credentials=state_credentials)
        return made[whose]

    module.boto_client_for = boto_client_for
