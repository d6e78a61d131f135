"""Tries the deployed application in your own AWS account: three minutes, less than a cent, and nothing is left behind.

    make verify                          # from a clone; STACK=…, AWS_REGION=…, TASK_TOKEN_ROLE=… and YES=1 if you like
    python3 scripts/verify.py --help     # from a release's zip file; boto3 is all that it needs

It looks at what is deployed, and asks before it makes anything. It starts no conversion: its gates wait for a task that does not
exist, which License Manager refuses. A line says what was seen and how long that took, `->` says what to do. Exits with 0 where
nothing failed and nothing was left behind, with 1 where something did, with 2 where it may not go on, with 130 after Ctrl-C.
"""

import argparse
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from textwrap import shorten
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

FUNCTIONS = {f"{name.title().replace('_', '')}Function": f"{name}.handler"
             for name in ("custom_resource", "check_task", "poll_tasks", "respond")}  # fmt: skip
ALARMS = 16
TAG = "license-conversion-gate-verify"
SERVICE_TIMEOUT = 120
"""Seconds after which CloudFormation gives up a throw-away gate that does not respond."""
SAFETY_NET = 60
"""Seconds, at most, until a stack has a response whose execution an operator has stopped."""
DEPLOY = "Deploy the application again (make deploy)."
NOT_HERE = """
Not tried here, and what it would take:
  a conversion, the event of its end, attributes: a task that runs; deploy examples/stack-gate.yaml with its id
  License Manager's rate limits: hundreds of gates at once, and the metric Throttles
  a gate with an old ServiceToken: a second deployment of the application, and an update to it
  a key of your own, a VPC, a permissions boundary, arm64: deploy with these parameters, and run this again
  another account's task or bus, an organization, StackSets: a second account, see examples/README.md
  traces: open X-Ray in some minutes
  the dashboard and the saved queries: open them; ResponderRanAlarm shows by itself whether alarms come to you
  examples/convert-and-gate.yaml, the pipeline and Terraform examples: deploy them as their pages say
"""


class NotAsItShouldBeError(Exception):
    """`FAILED` or `not tried`; what was seen; what to do."""


def need(good: Any, seen: str, do: str = DEPLOY) -> None:
    if not good:
        raise NotAsItShouldBeError("FAILED", seen, do)


def not_tried(why: str) -> NotAsItShouldBeError:
    return NotAsItShouldBeError("not tried", why, "")


def said_by(event: Mapping[str, Any]) -> str:
    """The Reason, without CloudFormation's words around it."""
    return str(event["ResourceStatusReason"]).rpartition("Message returned: ")[2]


def until(look: Callable[[], Any], good: Callable[[Any], Any], seconds: float, pause: float = 1.0) -> Any:
    """What `look` gives once that is `good`, or after so many seconds all the same."""
    give_up = time.monotonic() + seconds
    while not good(found := look()) and time.monotonic() < give_up:
        time.sleep(pause)
    return found


class Verification:
    """What is tried of one deployed application, and the throw-away stacks for it."""

    def __init__(self, aws: Callable[[str], Any], name: str, token_role: str) -> None:
        self.aws, self.name, self.token_role = cache(aws), name, token_role
        self.stacks, self.steps, self.events = aws("cloudformation"), aws("stepfunctions"), aws("events")
        self.deployed = self.stacks.describe_stacks(StackName=name)["Stacks"][0]
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in self.deployed.get("Outputs", [])}
        self.resources = self.stacks.describe_stack_resources(StackName=name)["StackResources"]
        self.of = {one["LogicalResourceId"]: str(one.get("PhysicalResourceId")) for one in self.resources}
        self.log = f"Look in log group {self.of.get('FunctionLogs')}, and in docs/troubleshooting.md."
        self.partition, _, self.region, self.account = self.deployed["StackId"].split(":")[1:5]
        given = {one["ParameterKey"]: one["ParameterValue"] for one in self.deployed.get("Parameters", [])}
        self.bus, self.log_level = given.get("EventBusName", "default"), given.get("LogLevel")
        self.id, self.task_id = secrets.token_hex(4), f"lct-{secrets.token_hex(16)}"
        self.began, self.failures = datetime.now(UTC), 0
        self.made: dict[str, str] = {}
        """Ids of the stacks, by what each is for; a name until there is an id."""
        self.seen: dict[str, Any] = {}

    def attempt(self, what: str, check: Callable[[], str]) -> None:
        """One line."""
        began = time.monotonic()
        try:
            mark, seen, do = "ok", shorten(check(), 330), ""
        except NotAsItShouldBeError as said:
            mark, seen, do = said.args
        except KeyError as missing:
            mark, seen, do = "FAILED", f"{missing} is not known", "Begin with the first line that FAILED."
        except (BotoCoreError, ClientError) as error:
            mark, seen, do = "FAILED", str(error), "If you may not do this: docs/permissions.md says who may."
        self.failures += mark == "FAILED"
        print(f"{mark:9} {time.monotonic() - began:5.1f} s  {what}: {seen}{do and f'{chr(10):20}-> {do}'}", flush=True)

    # What is deployed

    def stack(self) -> str:
        status, release = self.deployed["StackStatus"], self.outputs.get("Version", "unknown")
        complete = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
        need(status in complete, status, "Let the deployment end, or look at its events.")
        return f"{status}, release {release}, {self.region}, partition {self.partition}, account {self.account}"

    def functions(self) -> str:
        states = []
        for name, handler in FUNCTIONS.items():
            found = self.aws("lambda").get_function_configuration(FunctionName=self.of[name])
            need(found["Handler"] == handler, f"{name} has the handler {found['Handler']}, and not {handler}")
            need(found["State"] in ("Active", "Inactive"), f"{name} is {found['State']}: {found.get('StateReason')}")
            sleeps = " (unused for weeks; its next call wakes it, in a minute or two)" * (found["State"] == "Inactive")
            states.append(f"{name} {found['State']}{sleeps}")
        return ", ".join(states)

    def state_machine(self) -> str:
        found = self.steps.describe_state_machine(stateMachineArn=self.of["LicenseConversionGate"])
        names = all(self.of[name] in found["definition"] for name in ("CheckTaskFunction", "RespondFunction"))
        need(names and found["status"] == "ACTIVE", f"{found['status']}, names check and responder: {names}")
        state = json.loads(found["definition"])["States"]["Publish Event"]
        alone = {"Type": "Task", "QueryLanguage": "JSONata", "Resource": state["Resource"], "End": True}
        definition = json.dumps(alone | {"Arguments": state["Arguments"]}).replace("$gate.Event", "$states.input")
        self.seen["publish"] = {"definition": definition, "roleArn": found["roleArn"]}
        return f"{found['status']}, calls check and responder"

    def rule(self) -> str:
        name, responder = self.of["ExecutionEndedRule"], self.of["RespondFunction"]
        state = self.events.describe_rule(Name=name)["State"]
        need(state == "ENABLED", f"{name} is {state}", f"aws events enable-rule --region {self.region} --name {name}")
        targets = [one["Arn"].rpartition(":")[2] for one in self.events.list_targets_by_rule(Rule=name)["Targets"]]
        need(responder in targets, f"{name} has the targets {targets}, and not {responder}")
        return f"{state}, its target is the responder"

    def alarms(self) -> str:
        names = [one["PhysicalResourceId"] for one in self.resources if one["ResourceType"] == "AWS::CloudWatch::Alarm"]
        found = self.aws("cloudwatch").describe_alarms(AlarmNames=names or [self.name])["MetricAlarms"]
        able = sum(one["ActionsEnabled"] for one in found)
        need(able == ALARMS, f"{able} of {ALARMS} are there, with their actions enabled")
        topics = {action for one in found for action in one["AlarmActions"]} or {"no topic (no AlarmTopicArn)"}
        rings = [one["AlarmName"] for one in found if one["StateValue"] == "ALARM"]
        return f"{len(found)}, they notify {', '.join(sorted(topics))}; {', '.join(rings) or 'none'} in ALARM"

    @property
    def own_bus(self) -> str:
        """Its name; empty for one of another account."""
        ours = not self.bus.startswith("arn:") or self.bus.split(":")[4] == self.account
        return str(self.bus).rpartition(":event-bus/")[2] if ours else ""

    def event_bus(self) -> str:
        if not self.own_bus:
            raise not_tried(f"{self.bus} is of another account: look there that it is, and lets this one in")
        try:
            return str(self.events.describe_event_bus(Name=self.own_bus)["Arn"])
        except self.events.exceptions.ResourceNotFoundException:
            do = "Make it, or deploy with another EventBusName: EventBridge drops what goes to none without a word."
            raise NotAsItShouldBeError("FAILED", f"there is no bus {self.bus}", do) from None

    def table(self) -> str:
        table = {"TableName": self.of["RegistrationTable"]}
        key = self.aws("dynamodb").describe_table(**table)["Table"]["KeySchema"]
        need([one["AttributeName"] for one in key] == ["Account", "Gate"], f"its key is {key}")
        lives = self.aws("dynamodb").describe_time_to_live(**table)["TimeToLiveDescription"]
        enabled = lives["TimeToLiveStatus"].startswith("ENABL") and lives["AttributeName"] == "Expires"
        need(enabled, f"its TTL is {lives}", f"Enable it on the attribute Expires of {table['TableName']}.")
        return "key Account and Gate, TTL on Expires"

    def queue(self) -> str:
        asked = {"QueueUrl": self.of["DeadLetterQueue"], "AttributeNames": ["All"]}
        found = self.aws("sqs").get_queue_attributes(**asked)["Attributes"]
        need("aws:SecureTransport" in found.get("Policy", ""), "it has no policy, which asks for TLS")
        invoked = self.aws("lambda").get_function_event_invoke_config(FunctionName=self.of["RespondFunction"])
        need(found["QueueArn"] in str(invoked), "what the responder fails on does not go to it")
        return f"has its policy, gets what the responder fails on; {found['ApproximateNumberOfMessages']} messages"

    # What it does

    def refusal(self, said: str) -> str:
        """An execution's Error and Cause, or a stack's Reason: License Manager's own words."""
        denied = "is denied to" in said or "does not take the credentials" in said
        do = "Let that role do it: its policy, its boundary or the organization denies it." if denied else self.log
        if "not receive a response" in said:
            do = f"The responder has not responded ({self.of['RespondFunction']}). {self.log}"
        need(f"License Manager refuses the task id {self.task_id}" in said, said, do)
        return said

    def ended(self, **execution: str) -> str:
        arn = self.steps.start_execution(**execution)["executionArn"]
        look = partial(self.steps.describe_execution, executionArn=arn)
        found = until(look, lambda one: one["status"] != "RUNNING", 180)
        return self.refusal(f"{found.get('error') or found['status']}: {found.get('cause')}")

    def execution(self) -> str:
        given = json.dumps({"LicenseConversionTaskId": self.task_id, "TimeoutSeconds": 120})
        return self.ended(stateMachineArn=self.of["LicenseConversionGate"], input=given)

    def make(self, what: str, resources: Mapping[str, Any]) -> None:
        """A stack; what is in it gets its tag."""
        self.made[what] = f"{TAG}-{self.id}-{what}"
        asked = {"StackName": self.made[what], "Tags": [{"Key": TAG, "Value": self.id}]}
        made = self.stacks.create_stack(**asked, TemplateBody=json.dumps({"Resources": resources}))
        self.made[what] = made["StackId"]

    def throw_away(self) -> str:
        wait = {"LicenseConversionTaskId": self.task_id, "ServiceTimeout": SERVICE_TIMEOUT}
        wait["ServiceToken"] = self.outputs["ServiceToken"]
        gate = {"Type": "Custom::LicenseConversionTask", "Properties": wait}
        for what in ("stopped", "refused"):
            self.make(what, {self.gate(what): gate})
        if beside := (self.for_event() if self.own_bus else {}) | (self.for_token() if self.token_role else {}):
            self.make("beside", beside)
        return f"{TAG}-{self.id}-{', -'.join(self.made)}; their gates wait for {self.task_id}"

    def for_event(self) -> dict[str, Any]:
        """A rule that sends the event to a queue."""
        queue = {"Fn::GetAtt": ["Queue", "Arn"]}
        let = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Queues": [{"Ref": "Queue"}], "PolicyDocument": {"Statement": [let | {"Resource": queue}]}}
        pattern = {"source": ["license-conversion-gate"], "detail": {"Verification": [self.id]}}
        target = {"EventBusName": self.own_bus, "EventPattern": pattern, "Targets": [{"Id": "Queue", "Arn": queue}]}
        return {
            "Queue": {"Type": "AWS::SQS::Queue"},
            "QueuePolicy": {"Type": "AWS::SQS::QueuePolicy", "Properties": policy},
            "Rule": {"Type": "AWS::Events::Rule", "Properties": target},
        }

    def for_token(self) -> dict[str, Any]:
        """A state machine that waits at a gate by task token."""
        start = f"arn:{self.partition}:states:::states:startExecution.waitForTaskToken"
        given = {"LicenseConversionTaskId": self.task_id, "TimeoutSeconds": 120, "TaskToken.$": "$$.Task.Token"}
        asked = {"StateMachineArn": self.of["LicenseConversionGate"], "Input": given}
        state = {"Type": "Task", "Resource": start, "Parameters": asked, "TimeoutSeconds": 150, "End": True}
        caller = {"Definition": {"StartAt": "Wait", "States": {"Wait": state}}, "RoleArn": self.token_role}
        caller["StateMachineName"] = f"{TAG}-{self.id}"
        return {"Caller": {"Type": "AWS::StepFunctions::StateMachine", "Properties": caller}}

    def gate(self, what: str) -> str:
        """Its logical id, with which the name of its execution begins."""
        return f"{what}{self.id}"

    def event(self, what: str, status: str, seconds: float) -> Any:
        """CloudFormation's event of this gate."""
        wanted = (self.gate(what), status)

        def look() -> Any:
            events = self.stacks.describe_stack_events(StackName=self.made[what])["StackEvents"]
            return [one for one in events if (one["LogicalResourceId"], one["ResourceStatus"]) == wanted]

        found = until(look, bool, seconds, 0.5)
        need(found, f"no response in {seconds} s: CloudFormation has no {status} of the gate", self.log)
        return found[-1]

    def stopped(self) -> str:
        """While License Manager's refusal has its grace, the execution still runs."""
        need("stopped" in self.made, "the stack for it could not be made", "See the line above.")
        asked = {"stateMachineArn": self.of["LicenseConversionGate"], "statusFilter": "RUNNING"}

        def look() -> Any:
            running = self.steps.list_executions(**asked)["executions"]
            return [one["executionArn"] for one in running if one["name"].startswith(self.gate("stopped"))]

        found = until(look, bool, 90, 0.5)
        need(found, "no execution began", self.log)
        given = json.loads(self.steps.describe_execution(executionArn=found[0])["input"])
        self.seen["request"] = given["Stack"]["Event"]
        at = self.steps.stop_execution(executionArn=found[0], error="StoppedByHand", cause=TAG)["stopDate"]
        failed = self.event("stopped", "CREATE_FAILED", SERVICE_TIMEOUT)
        reason, seconds = said_by(failed), (failed["Timestamp"] - at).total_seconds()
        if "License Manager refuses" in reason:
            raise not_tried("the execution had ended before it could be stopped: try again")
        said = f"{seconds:.1f} s later the stack fails: {reason}"
        told = "stopped by an operator" in reason and seconds <= SAFETY_NET
        need(told, said, f"ExecutionEndedRule and RespondFunction have to run. {self.log}")
        return said

    def refused(self) -> str:
        failed = self.event("refused", "CREATE_FAILED", SERVICE_TIMEOUT + 60)
        said = self.refusal(said_by(failed))
        self.seen["refused"] = failed
        return said

    def status(self, what: str, kind: str = "") -> str:
        """Of the stack, once it begins so and nothing is in progress."""
        look = partial(self.stacks.describe_stacks, StackName=self.made[what])
        found = until(
            lambda: str(look()["Stacks"][0]["StackStatus"]),
            lambda status: status.startswith(kind) and "IN_PROGRESS" not in status, SERVICE_TIMEOUT + 60,
        )  # fmt: skip
        return str(found)

    def rolled_back(self) -> str:
        """A rollback needs a response to its Delete."""
        found = {what: self.status(what) for what in ("refused", "stopped")}
        need(set(found.values()) == {"ROLLBACK_COMPLETE"}, f"the stacks are {found}", self.log)
        need(not self.undo(), f"not deleted: {', '.join(self.made)}", self.log)
        return "the stacks rolled back, and are deleted"

    def undo(self) -> list[str]:
        """Delete the stacks. Those that are left. A gate whose Delete has no response is left out: nothing is behind it."""
        left = []
        for what, stack in list(self.made.items()):
            try:
                for more in ({}, {"RetainResources": [self.gate(what)]}):
                    self.stacks.delete_stack(StackName=stack, **more)
                    if (status := self.status(what, "DELETE")) == "DELETE_COMPLETE":
                        del self.made[what]
                        break
            except (BotoCoreError, ClientError) as error:
                status = str(error)
            if what in self.made:
                left.append(f"stack {stack}: {status}")
        return left

    def lines(self, *words: str) -> list[Any]:
        """Of the functions' log since this began, those with all of these words."""
        asked = {"logGroupName": self.of["FunctionLogs"], "startTime": int(self.began.timestamp() * 1000)}
        pages = self.aws("logs").get_paginator("filter_log_events").paginate(**asked)
        return [one for page in pages for one in page["events"] if all(word in one["message"] for word in words)]

    def story(self) -> str:
        if self.log_level in ("WARNING", "ERROR"):
            raise not_tried(f"with LogLevel {self.log_level} the log has no line for each step")
        refused, end, response = self.seen["refused"], "The gate ends: REFUSED", "The STACK got its response"
        responses = until(lambda: self.lines(refused["StackId"], response), bool, 45)
        need(responses and self.lines(refused["StackId"], end), f"no '{end}' or no '{response}' of that stack")
        leaks = self.lines("Signature=")
        need(not leaks, f"{len(leaks)} lines have a signature in them", "Report it as SECURITY.md says.")
        after = max(0.0, refused["Timestamp"].timestamp() - responses[0]["timestamp"] / 1000)
        return f"'{end}', '{response}', no signature; {after:.1f} s after that CloudFormation has its event"

    def date(self) -> str:
        said = parse_qs(urlsplit(self.seen["request"]["ResponseURL"]).query)
        need("X-Amz-Date" in said, f"the URL has {sorted(said)}", "Report it: a deadline counts from Expires instead.")
        at = self.event("stopped", "CREATE_IN_PROGRESS", 10)["Timestamp"]
        return f"{said['X-Amz-Date'][0]} in the response URL, {at:%Y%m%dT%H%M%SZ} in CloudFormation's event"

    def beside(self, name: str) -> str:
        """The physical id of what is in the stack beside those with a gate."""
        if (status := self.status("beside")) != "CREATE_COMPLETE":
            events = self.stacks.describe_stack_events(StackName=self.made["beside"])["StackEvents"]
            why = [one["ResourceStatusReason"] for one in events if one["ResourceStatus"] == "CREATE_FAILED"]
            need(False, f"its throw-away stack is {status}: {why[-1:]}", "docs/permissions.md says what it needs.")
        found = self.stacks.describe_stack_resource(StackName=self.made["beside"], LogicalResourceId=name)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def bus_event(self) -> str:
        """The state that publishes, run by itself, with an event that no other rule matches."""
        self.event_bus()
        queue, sqs = self.beside("Queue"), self.aws("sqs")
        given = {"DetailType": "License Conversion Gate Verified", "Detail": {"Verification": self.id}, "Resources": []}

        def look() -> Any:
            try:
                done = self.steps.test_state(**self.seen["publish"], input=json.dumps(given))
            except (ClientError, AttributeError) as error:  # an old boto3 does not know TestState
                done = {"status": str(error)}
            said = f"{done['status']}, {done.get('error')}: {done.get('cause')}"
            need("events:PutEvents" not in said, said, "The state machine's role or the bus's policy denies it.")
            if done["status"] != "SUCCEEDED":
                raise not_tried(f"Step Functions' TestState does not run the state with the role: {said}")
            return sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages")

        need(until(look, bool, 40), "it was put, and did not come to a rule", f"Look at the bus {self.bus}.")
        return f"it came from {self.bus} through a throw-away rule to a queue"

    def task_token(self) -> str:
        if not self.token_role:
            raise not_tried("--task-token-role (TASK_TOKEN_ROLE) may name a role that may start the state machine")
        return self.ended(stateMachineArn=self.beside("Caller"))

    def metric(self) -> str:
        by = {"Dimensions": [{"Name": "service", "Value": self.name}], "Statistics": ["Sum"], "Period": 60}
        asked = by | {"Namespace": "LicenseConversionGate", "MetricName": "GatesRefused"}
        times = {"StartTime": self.began - timedelta(minutes=1), "EndTime": self.began + timedelta(minutes=10)}
        look = partial(self.aws("cloudwatch").get_metric_statistics, **asked, **times)
        if not (found := until(lambda: look()["Datapoints"], bool, 30, 5)):
            raise not_tried("GatesRefused is not there yet; it may be minutes late: look at the dashboard")
        return f"GatesRefused is {sum(one['Sum'] for one in found):.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="license-conversion-gate", help="the application's stack")
    parser.add_argument("--region", default=os.environ.get("AWS_REGION"), help="else AWS_REGION, or what boto3 finds")
    parser.add_argument("--task-token-role", default="", help="a role's ARN, to wait by task token as well")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    asked = parser.parse_args()
    try:
        session: Any = boto3.Session(region_name=asked.region or None)
        it = Verification(session.client, asked.stack, asked.task_token_role)
    except (BotoCoreError, ClientError) as error:
        print(f"{asked.stack} cannot be seen: {error}\n-> Set AWS_PROFILE and AWS_REGION, and STACK to its name.")
        return 1
    for what, check in (
        ("the stack", it.stack), ("functions", it.functions), ("state machine", it.state_machine),
        ("rule on executions that end", it.rule), ("alarms", it.alarms), ("event bus", it.event_bus),
        ("table of registrations", it.table), ("dead-letter queue", it.queue),
    ):  # fmt: skip
        it.attempt(what, check)
    print(
        f"\nNow executions are started, and three stacks made and deleted again: {TAG}-{it.id}-…,\n"
        f"with the tag {TAG}={it.id}. No conversion is started. It takes three minutes and costs less\n"
        "than a cent. One execution is stopped by hand, so ResponderRanAlarm rings within five minutes: where it notifies you,\n"
        "that shows its way to you.\n"
    )
    print("" if asked.yes else "Go on? [y/N] ", end="", flush=True)
    if not asked.yes and sys.stdin.readline().strip().lower() not in ("y", "yes"):
        print("Nothing was made. YES=1 (--yes): without this question.")
        return 2
    interrupted = False
    # A shell that starts this in the background has it ignore SIGINT.
    for ends in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ends, signal.default_int_handler)
    try:
        for what, check in (
            ("an execution for a task that does not exist", it.execution), ("throw-away stacks", it.throw_away),
            ("an execution stopped by hand", it.stopped), ("a gate that is refused", it.refused),
            ("its story in the log", it.story), ("the moment of a request", it.date), ("an event on the bus", it.bus_event),
            ("a task token", it.task_token), ("a Delete", it.rolled_back), ("metrics", it.metric),
        ):  # fmt: skip
            it.attempt(what, check)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if it.made:
            print("\nDeleting what was made ...", flush=True)
        left = it.undo()
        print(*(f"LEFT BEHIND, with the tag {TAG}={it.id}: {what}" for what in left), sep="\n", end="\n" * bool(left))
    if interrupted:
        return 130
    print(f"{NOT_HERE}\n{f'{it.failures} FAILED.' if it.failures else 'All that was tried works.'}")
    return 1 if it.failures or left else 0


if __name__ == "__main__":
    sys.exit(main())
