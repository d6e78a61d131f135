"""The same gate as crhelper's documentation would have it: clients at import, its own polling. To measure against only."""

import boto3
from crhelper import CfnResource

helper = CfnResource(json_logging=False, log_level="INFO", boto_level="CRITICAL", polling_interval=2)
license_manager = boto3.client("license-manager")


@helper.create
@helper.update
def create(event, context):  # type: ignore[no-untyped-def]  # noqa: ARG001
    return event["ResourceProperties"]["LicenseConversionTaskId"]


@helper.poll_create
@helper.poll_update
def poll(event, context):  # type: ignore[no-untyped-def]  # noqa: ARG001
    task_id = event["ResourceProperties"]["LicenseConversionTaskId"]
    task = license_manager.get_license_conversion_task(LicenseConversionTaskId=task_id)
    if task["Status"] == "FAILED":
        raise ValueError(task.get("StatusMessage"))
    if task["Status"] != "SUCCEEDED":
        return None
    helper.Data.update(Status=task["Status"], ResourceArn=task["ResourceArn"])
    return task_id


@helper.delete
def delete(event, context):  # type: ignore[no-untyped-def]
    pass


def handler(event, context):  # type: ignore[no-untyped-def]
    helper(event, context)
