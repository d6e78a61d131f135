"""The files in which botocore has each service, and the list of them, are read once: a session that is new reads its own."""

from functools import cache, partial
from typing import Any

import botocore.loaders


def services() -> None:
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
