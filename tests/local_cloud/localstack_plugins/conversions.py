"""What a state machine that converts instances meets on AWS, and open LocalStack lacks.

- Step Functions reaches our License Manager (`aws-sdk:licensemanager:…`), beside LocalStack
- errors of License Manager and EC2 have the names that Step Functions gives them
- a call that EventBridge refuses is an error that a state can catch
- an execution that was stopped is ABORTED
- an instance has a usage operation and product codes, which License Manager has changed or not, and takes a moment to stop
- one with the tag NEVER_RUNS is stopped again by EC2 after each start

Each service is changed when it is loaded, at its first call: none of a service that is loaded waits for it.
"""

import json
import threading
from copy import deepcopy
from functools import cache
from importlib import import_module
from typing import Any, cast

from localstack.services.plugins import Service, aws_provider

from tests.local_cloud.localstack import DIRECT
from tests.local_cloud.localstack_plugins import query_language
from tests.local_cloud.localstack_plugins.cloud_settings import CloudSettings

STOPPING_SECONDS = 1.0
NEVER_RUNS = "tests:never-runs"
"""As an instance does whose encrypted volume may not be decrypted: https://repost.aws/knowledge-center/kms-iam-ec2-permission"""


@aws_provider(api="stepfunctions", name="converting")  # type: ignore[untyped-decorator,unused-ignore]  # LocalStack is untyped
def stepfunctions() -> Service:
    from localstack.services.stepfunctions.asl.utils import boto_client  # noqa: PLC0415

    boto_client.boto_client_for = _clients(boto_client)
    from localstack.services.stepfunctions.provider import StepFunctionsProvider  # noqa: PLC0415

    asl = "localstack.services.stepfunctions.asl"
    services = f"{asl}.component.state.state_execution.state_task.service"
    tasks, aws_sdk, events = (
        cast("Any", import_module(f"{services}.state_task_service{name}")) for name in ("", "_aws_sdk", "_events")
    )
    _parse_once(cast("Any", import_module(f"{asl}.parse.asl_parser")).AmazonStateLanguageParser)
    tasks.StateTaskService._SERVICE_NAME_SFN_TO_BOTO_OVERRIDES["licensemanager"] = "license-manager"
    aws_sdk._SERVICE_ERROR_NAMES.update(licensemanager="LicenseManager", ec2="Ec2")
    events.StateTaskServiceEvents._from_error = _as_failed_task(events)
    query_language.evaluate_here()
    _stay_stopped(cast("Any", import_module(f"{asl}.eval.environment")).Environment)
    return Service.for_provider(StepFunctionsProvider())


def _parse_once(parser: Any) -> None:
    """LocalStack parses the definition for each execution. Each has a program of its own: it keeps state there."""
    parse_once = cache(parser.parse)

    def parse(definition: str) -> tuple[Any, Any]:
        program, tree = parse_once(definition)
        return deepcopy(program), tree

    parser.parse = staticmethod(parse)


def _as_failed_task(events: Any) -> Any:
    original = events.StateTaskServiceEvents._from_error

    def from_error(self: Any, env: Any, ex: Exception) -> Any:
        if "Error" not in getattr(ex, "response", {}):
            return original(self, env, ex)
        name = f"EventBridge.{ex.response['Error']['Code']}"  # type: ignore[attr-defined]
        failed = events.TaskFailedEventDetails(
            error=name, cause=str(ex), resource=self._get_sfn_resource(), resourceType=self._get_sfn_resource_type()
        )
        return events.FailureEvent(
            env=env,
            error_name=events.CustomErrorName(error_name=name),
            event_type=events.HistoryEventType.TaskFailed,
            event_details=events.EventDetails(taskFailedEventDetails=failed),
        )

    return from_error


def _clients(boto_client: Any) -> Any:
    """Each with the credentials of the state machine's role, once: a state that calls a function would make its own.

    One at a time: a session of boto3 is not for several threads, and executions begin together.
    """
    original, made, making = boto_client.boto_client_for, dict[tuple[str, str, str], Any](), threading.Lock()

    def boto_client_for(service: str, region: str, state_credentials: Any) -> Any:
        whose = (service, region, str(state_credentials.role_arn))
        with making:
            if whose not in made:
                make = license_manager if service == "license-manager" else original
                made[whose] = make(service=service, region=region, state_credentials=state_credentials)
        return made[whose]

    def license_manager(service: str, region: str, state_credentials: Any) -> Any:
        import boto3  # noqa: PLC0415

        role = original("sts", region, state_credentials)._request_signer._credentials
        return cast("Any", boto3).client(
            service,
            endpoint_url=CloudSettings.from_environment().license_manager_url,
            region_name=region,
            config=boto_client._BOTO_CLIENT_CONFIG,
            aws_access_key_id=role.access_key,
            aws_secret_access_key=role.secret_key,
        )

    return boto_client_for


def _stay_stopped(environment: Any) -> None:
    """An execution that was stopped is ABORTED, whatever the state that it was in comes to, and at once where that waits for a
    task token. LocalStack has it fail, and with an error of the interpreter's own where the stop comes between two states.
    """
    set_error, set_stop = environment.set_error, environment.set_stop

    def set_error_unless_stopped(self: Any, error: Any) -> None:
        if type(self.program_state()).__name__ != "ProgramStopped":
            set_error(self, error)

    def stop_and_wake(self: Any, *arguments: Any, **named: Any) -> None:
        set_stop(self, *arguments, **named)
        for endpoint in list(self.callback_pool_manager._pool.values()):
            endpoint.interrupt_all()

    environment.set_error, environment.set_stop = set_error_unless_stopped, stop_and_wake


@aws_provider(api="ec2", name="converting")  # type: ignore[untyped-decorator,unused-ignore]  # LocalStack is untyped
def ec2() -> Service:
    from localstack.services.ec2.provider import Ec2Provider  # noqa: PLC0415
    from localstack.services.moto import MotoFallbackDispatcher  # noqa: PLC0415

    Instance: Any = import_module("moto.ec2.models.instances").Instance  # noqa: N806
    instances: Any = import_module("moto.ec2.responses.instances")
    known = "<instanceId>{{ instance.id }}</instanceId>"
    assert known in instances.EC2_DESCRIBE_INSTANCES
    instances.EC2_DESCRIBE_INSTANCES = instances.EC2_DESCRIBE_INSTANCES.replace(known, known + _LICENSE)
    Instance.license_context = property(lambda instance: _license_context(instance.id))
    Instance.stop = _stop_slowly(Instance.stop)
    Instance.start = _start_in_vain(Instance.start)
    return Service.for_provider(Ec2Provider(), dispatch_table_factory=MotoFallbackDispatcher)


_LICENSE = """{% set license = instance.license_context %}<usageOperation>{{ license.UsageOperation }}</usageOperation>
<productCodes>{% for code in license.ProductCodes or () %}<item><productCode>{{ code.ProductCodeId }}</productCode>
<type>{{ code.ProductCodeType }}</type></item>{% endfor %}</productCodes>"""


def _license_context(instance_id: str) -> Any:
    """EC2 and License Manager are one AWS: what a conversion has changed, EC2 reports."""
    asked = f"{CloudSettings.from_environment().license_manager_url}/_control/license_context"
    with DIRECT.open(asked, json.dumps({"instance_id": instance_id}).encode(), timeout=10) as answer:
        return json.load(answer)


def _stop_slowly(stop: Any) -> Any:
    """moto stops an instance at once, and then no caller has to wait for it."""

    def stop_slowly(instance: Any) -> Any:
        before = stop(instance)
        if before.name != "stopped":
            instance._state.name, instance._state.code = "stopping", 64
            _later(_stopped, instance)
        return before

    return stop_slowly


def _start_in_vain(start: Any) -> Any:
    def start_in_vain(instance: Any) -> Any:
        before = start(instance)
        if NEVER_RUNS in {tag["key"] for tag in instance.get_tags()}:
            instance._state.name, instance._state.code = "pending", 0
            code = "Client.InternalError"
            instance._state_reason.code, instance._state_reason.message = code, f"{code}: Client error on launch"
            _later(_stopped, instance)
        return before

    return start_in_vain


def _later(happens: Any, instance: Any) -> None:
    timer = threading.Timer(STOPPING_SECONDS, happens, [instance])
    timer.daemon = True
    timer.start()


def _stopped(instance: Any) -> None:
    if instance._state.name in ("stopping", "pending"):
        instance._state.name, instance._state.code = "stopped", 80
