"""What LocalStack would read or parse again and again, before anybody does."""

from localstack.runtime import hooks

from tests.local_cloud import parse_once


@hooks.on_infra_start()  # type: ignore[untyped-decorator,unused-ignore]  # LocalStack is untyped
def parse_each_once() -> None:
    parse_once.regions()
    parse_once.services()
    parse_once.json_paths()
