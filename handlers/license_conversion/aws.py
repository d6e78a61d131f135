"""The one place that makes AWS clients. boto3 is imported with the first one: a function that needs none does without it, and
it is the largest part of what a start with one takes (docs/benchmarks.md).
"""
# ruff: noqa: PLC0415

import os
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

    from license_conversion.request import Account  # the last resort comes here though request.py is broken

CONNECT_SECONDS = 2
READ_SECONDS = 5


def client(service: str, *, attempts: int, account: "Account | None" = None) -> Any:
    """boto3's client of `service`, in the account and region of `account`: the function's own, if that says nothing.

    `attempts` is how many times a call is tried in all, with botocore's standard backoff between two.
    """
    import boto3

    config = _config(attempts)
    assumed = _assumed(account, config) if account and account.role_arn else boto3
    client_of: Any = assumed.client  # typed by literal names
    return client_of(service, region_name=(account and account.region) or None, config=config)


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


def _config(attempts: int) -> "Config":
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": attempts}
    return Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=retries)  # type: ignore[arg-type]


def _assumed(account: "Account", config: "Config") -> "boto3.Session":
    """A session with the credentials of the account's role: botocore renews them shortly before they expire."""
    import boto3
    import botocore.session
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    own = botocore.session.get_session()
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=partial(own.create_client, config=config),
        source_credentials=own.get_credentials(),
        role_arn=account.role_arn,
        extra_args={
            "RoleSessionName": "license-conversion-gate",
            **({"ExternalId": account.external_id} if account.external_id else {}),
        },
    )
    assumed = botocore.session.get_session()
    # botocore has no public way to hand a session credentials that renew themselves
    assumed._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")  # type: ignore[attr-defined]
    return boto3.Session(botocore_session=assumed)
