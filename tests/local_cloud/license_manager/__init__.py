"""A License Manager for license type conversion tasks, on the wire, without an AWS account.

It speaks what the service speaks: AWS JSON 1.1, modelled errors, epoch times, members left out while a task is IN_PROGRESS. It
knows CreateLicenseConversionTaskForResource, GetLicenseConversionTask and ListLicenseConversionTasks. boto3, the AWS CLI and a
Lambda function in another process reach it by ``AWS_ENDPOINT_URL_LICENSE_MANAGER``; it listens on 127.0.0.1 only::

    with LicenseManagerServer() as server:
        task_id = server.add_task(duration=2, end_status="FAILED", status_message="No AMI of yours.")
        server.faults.queue("RateLimitExceededException", times=3)
        client = boto3.client("license-manager", endpoint_url=server.url)
        ...
        assert [call.answer for call in server.calls] == ["RateLimitExceededException"] * 3 + ["OK"]

A conversion is begun only for an instance that is stopped, where the server knows how to ask (`instance_state`): in the
local cloud it asks EC2. What it is not: it checks no signature, neither starts nor stops an instance, and keeps all accounts in
one. Permissions are checked by whom ``denial`` asks: on the local cloud LocalStack, which knows whose key it is.
"""

from tests.local_cloud.license_manager.server import LicenseManagerServer

__all__ = ["LicenseManagerServer"]
