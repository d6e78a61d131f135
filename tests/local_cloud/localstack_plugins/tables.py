"""AWS::DynamoDB::Table, made at the DynamoDB beside LocalStack, whose own would start a Java program."""

from typing import Any

import boto3
from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)

from tests.local_cloud.localstack_plugins.cloud_settings import CloudSettings
from tests.local_cloud.localstack_plugins.resources import made_up_id

MADE_OF = ("BillingMode", "AttributeDefinitions", "KeySchema")


class Table(ResourceProvider):  # type: ignore[misc]
    SCHEMA = {"primaryIdentifier": ["/properties/TableName"]}  # noqa: RUF012

    def create(self, request: ResourceRequest) -> ProgressEvent:
        wanted = request.desired_state
        name = wanted.get("TableName") or made_up_id(request)
        made_of = {one: wanted[one] for one in MADE_OF if wanted.get(one)}
        if encryption := dict(wanted.get("SSESpecification") or {}):
            made_of["SSESpecification"] = {"Enabled": _is_true(encryption.pop("SSEEnabled")), **encryption}
        _dynamodb(request).create_table(TableName=name, **made_of)
        if ttl := wanted.get("TimeToLiveSpecification"):
            _dynamodb(request).update_time_to_live(
                TableName=name,
                TimeToLiveSpecification={"AttributeName": ttl["AttributeName"], "Enabled": _is_true(ttl["Enabled"])},
            )
        arn = f"arn:aws:dynamodb:{request.region_name}:{request.account_id}:table/{name}"  # moto has an account of its own
        return ProgressEvent(OperationStatus.SUCCESS, {**wanted, "TableName": name, "Arn": arn})

    def update(self, request: ResourceRequest) -> ProgressEvent:
        return ProgressEvent(OperationStatus.SUCCESS, {**request.previous_state, **request.desired_state})

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        _dynamodb(request).delete_table(TableName=request.previous_state["TableName"])
        return ProgressEvent(OperationStatus.SUCCESS, {})


def _dynamodb(request: ResourceRequest) -> Any:
    """In the name of whoever deploys: the calls are judged by that person's policies, where permissions are checked."""
    meta = request.aws_client_factory.sts.meta
    keys = request.aws_client_factory.sts._request_signer._credentials
    return boto3.client(
        "dynamodb",
        endpoint_url=CloudSettings.from_environment().dynamodb_url,
        region_name=meta.region_name,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
    )


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"
