"""A License Manager for license type conversion tasks, on the wire, without an AWS account.

It plugs into moto from outside (moto has no License Manager), and speaks what the service speaks: AWS JSON 1.1,
modelled errors, epoch times, members left out while a task is IN_PROGRESS. It knows
CreateLicenseConversionTaskForResource, GetLicenseConversionTask and ListLicenseConversionTasks. boto3, the AWS CLI and
a Lambda function in another process reach it by ``AWS_ENDPOINT_URL_LICENSE_MANAGER``; it listens on 127.0.0.1 only::

    with LicenseManagerServer() as server:
        task_id = server.add_task(duration=2, end_status="FAILED", status_message="No AMI of yours.")
        server.faults.queue("RateLimitExceededException", times=3)
        client = boto3.client("license-manager", endpoint_url=server.url)
        ...
        assert [call.answer for call in server.calls] == ["RateLimitExceededException"] * 3 + ["OK"]

Under ``mock_aws`` and moto's own ``ThreadedMotoServer`` the same service answers; `in_process()` is its handle, and
moto makes a fresh one whenever ``mock_aws`` begins or ends. A server has a state of its own, which moto leaves alone.

For a person: ``python -m tests.local_cloud.license_manager --port 4599``, then from another terminal::

    export AWS_ENDPOINT_URL_LICENSE_MANAGER=http://127.0.0.1:4599
    curl -d '{"duration": 30}' http://127.0.0.1:4599/_control/add_task
    aws license-manager list-license-conversion-tasks

``POST /_control/<command>`` takes the Python method's arguments as a JSON object, and answers its result as JSON; what
is refused is a 400 with a sentence in ``error``. Without a body, ``GET`` does too.

==================== ===================================================================================================
Command              Arguments (all optional, unless marked *)
==================== ===================================================================================================
``add_task``         task_id, resource_arn, source, destination (a usage operation, or a context as on the wire),
                     duration (seconds; ``Infinity`` never ends), end_status, status_message, start_time (epoch
                     seconds), absent_in_progress (members left out until the end), lies (members answered as given,
                     ``null`` too), without (members never answered), region (where it is known; by default everywhere),
                     begins_when_seen (its duration runs from the first answer that tells of it)
``change_task``      task_id*, and any of the above
``finish_task``      task_id*, status, status_message: it ends now
``delete_task``      task_id*: the service forgets it
``tasks``            what the service would answer now, for each task
``calls``            operation, parameters, time, answer (``OK``, or the fault), region and access_key of each call
``configure``        duration, end_status, status_message, begins_when_seen (of tasks that do not say), page_size, seed (of
                     the order; ``null``: as added), tasks_a_day (that can be begun; ``null``: any number)
``license_context``  instance_id*: what the instance is billed as, after the conversions so far
``faults/queue``     name*, times (``null``: until cleared), operation, seconds, task_id (that alone)
``faults/rates``     rates* (name to share of the calls, at most 1 in all), seed, seconds, task_id (that alone)
``faults/limit``     requests_per_second*, burst*: a token bucket that answers RateLimitExceededException
``faults/clear``     the calls are answered again
``reset``            no tasks, no calls, no faults, settings as at the start; calls held by ``no-reply`` are dropped
==================== ===================================================================================================

A fault is the name of an exception (``AccessDeniedException``, ``ThrottlingException``, …), ``html-503``,
``connection-reset``, ``no-reply`` (until ``reset``, or for ``seconds`` and then a reset connection) or ``slow-reply`` (the
true answer after ``seconds``, 1 by default). ``seconds`` makes an exception and a 503 wait as well.

A conversion is begun only for an instance that is stopped, where the server knows how to ask (`instance_state`): in the
local cloud it asks EC2. What it is not: it checks no signature, neither starts nor stops an instance, and keeps all accounts in
one. Permissions are checked by whom ``denial`` asks: on the local cloud LocalStack, which knows whose key it is.
"""

from tests.local_cloud.license_manager.back_end import in_process, plug_into_moto
from tests.local_cloud.license_manager.server import LicenseManagerServer
from tests.simulation.license_manager.service import ConversionService, ReceivedCall
from tests.simulation.license_manager.service_faults import ServiceFaults

plug_into_moto()

__all__ = ["ConversionService", "LicenseManagerServer", "ReceivedCall", "ServiceFaults", "in_process"]
