"""The only module that makes AWS clients. boto3 is imported with the first one: a function that needs none does without it, and
it is the largest part of what a start with one takes (docs/benchmarks.md).
"""
# ruff: noqa: PLC0415

import os
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.config import Config

    from license_conversion.request import Account  # the responder comes here though request.py is broken

CONNECT_SECONDS = 2
READ_SECONDS = 5
QUICK_SECONDS = 1
"""The time-outs of a call. A check can do without the table of registrations, so it waits for that no longer than this."""


def client(service: str, *, attempts: int, account: "Account | None" = None, quick: bool = False) -> Any:
    """boto3's client of `service`, in the account and region of `account`: the function's own, if that says nothing.

    `attempts` is how many times a call is tried in all, with botocore's standard backoff between two.
    """
    import boto3

    config = _config(attempts, quick=quick)
    region = (account and account.region) or None
    if account and account.role_arn:
        return _client_of_role(service, account, region, config)
    client_of: Any = boto3.client  # typed by literal names
    return client_of(service, region_name=region, config=config)


def prepare(*services: str) -> None:
    """Take over what the first client of each costs, most of which botocore keeps. For a function's start alone: there Lambda
    gives it a whole processor, and in an invocation with 256 MB a seventh of one. Elsewhere than in Lambda it does nothing.
    https://serverlessland.com/content/service/lambda/guides/effectively-running-java-on-serverless/init-heavy-lifting
    """
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        for service in services:
            client(service, attempts=1)


def regions_of(service: str) -> list[str]:
    """Every region, of every partition, in which this botocore knows the service."""
    import botocore.session

    session = botocore.session.get_session()
    partitions = session.get_available_partitions()
    return [region for one in partitions for region in session.get_available_regions(service, one)]


def refusal() -> type[Exception]:
    """For an `except`: a service answered with an error. Its `response` says which."""
    from botocore.exceptions import ClientError

    return ClientError


def failures() -> tuple[type[Exception], ...]:
    """For an `except`: a service answered with an error, or did not answer, or there was no time left to ask it."""
    from botocore.exceptions import BotoCoreError

    return refusal(), BotoCoreError, TimeoutError


def code(error: BaseException) -> str:
    """The service's code for what is wrong, or the name of the network's error."""
    answer = getattr(error, "response", None) or {}  # botocore's errors of the network have one that is None
    said: str = answer.get("Error", {}).get("Code", type(error).__name__)
    return said


def _config(attempts: int, *, quick: bool) -> "Config":
    from botocore.config import Config

    connect, read = (QUICK_SECONDS, QUICK_SECONDS) if quick else (CONNECT_SECONDS, READ_SECONDS)
    retries = {"mode": "standard", "total_max_attempts": attempts}
    return Config(connect_timeout=connect, read_timeout=read, retries=retries)  # type: ignore[arg-type]


@cache
def _session_of_roles() -> tuple[Any, Any]:
    """One session for all roles, with the function's own credentials: each session holds 9 MB of a function's 256."""
    import botocore.session

    session = botocore.session.get_session()
    return session, session.get_credentials()


def _client_of_role(service: str, account: "Account", region: str | None, config: "Config") -> Any:
    """A client with the credentials of the account's role: botocore renews them shortly before they expire."""
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    session, own = _session_of_roles()
    more = {"ExternalId": account.external_id} if account.external_id else {}
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=partial(session.create_client, config=config),
        source_credentials=own,
        role_arn=account.role_arn,
        extra_args={"RoleSessionName": "license-conversion-gate", **more},
    )
    # A client takes its session's credentials when it is made; botocore has no public way to hand it some that renew themselves.
    session._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
    return session.create_client(service, region_name=region, config=config)
