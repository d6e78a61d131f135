"""An AWS of our own on loopback, for as long as a ``with`` block lasts: no account, no Docker.

LocalStack with our plug-ins serves CloudFormation, Lambda, Step Functions and what they need; a License Manager of our own
runs in this process. Everything listens on 127.0.0.1, on ports that were free, and writes into one temporary folder. When
the block ends, however it ends, every process and the folder are gone; when this process is killed, the processes are.

Where Node is, every call is judged by the IAM policies of the role, or of the person, that makes it (see ``iam``); the clients
that `LocalCloud.client` gives are the account's root. What LocalStack lacks is ours (see ``localstack_plugins``).
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import boto3
import trustme
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.local_cloud import iam
from tests.local_cloud.answers import Answer, AnswersClient, Issued, Misbehaviour
from tests.local_cloud.dynamodb import DynamoDBServer
from tests.local_cloud.iam.judge import Verdict
from tests.local_cloud.iam.needs import Call
from tests.local_cloud.iam.person import policy_of
from tests.local_cloud.license_manager import LicenseManagerServer
from tests.local_cloud.localstack_plugins.settings import Settings
from tests.local_cloud.traces import TraceDaemon

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
ACCOUNT = "000000000000"
_PLUGINS = Path(__file__).parent / "localstack_plugins"
_SERVICES = (
    "cloudformation", "cloudwatch", "ec2", "events", "iam", "kms", "lambda", "logs", "s3", "sns", "sqs", "ssm",
    "stepfunctions", "sts",
)  # fmt: skip
_FIRST_CALLS = (
    ("cloudformation", "list_stacks"), ("stepfunctions", "list_state_machines"), ("lambda", "list_functions"),
)  # fmt: skip
_START_SECONDS = 60
ARTIFACTS = "aws-sam-cli-managed-default-local"  # named as SAM names the bucket that it makes for --resolve-s3
_TEMPLATE_BYTES = 51_200  # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
_RUNTIME_PYTHON = ROOT / ".local/lambda-runtime/bin/python"


@dataclass(frozen=True)
class Credentials:
    """Whose calls a client makes."""

    access_key_id: str
    secret_access_key: str


ROOT_USER = Credentials("test", "test")


@dataclass(frozen=True)
class Stack:
    """A stack as CloudFormation describes it, and its events, oldest first."""

    id: str
    name: str
    status: str
    outputs: Mapping[str, str]
    events: tuple[Mapping[str, Any], ...]

    @property
    def failures(self) -> list[str]:
        """``<logical id>: <reason>`` of each resource that failed."""
        return [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            for event in self.events
            if event["ResourceStatus"].endswith("_FAILED") and event.get("PhysicalResourceId") != self.id
        ]

    def statuses(self, logical_id: str) -> list[str]:
        """What a resource went through; the stack's own, under the stack's name."""
        return [event["ResourceStatus"] for event in self.events if event["LogicalResourceId"] == logical_id]


class LocalCloud:
    """Use as a context manager; ``environment`` is what a person's own ``sam`` and ``aws`` commands need."""

    POLICY_ENGINE = ROOT / ".local/iam"

    def __init__(self, *, port: int = 0, retry_seconds: int = 1) -> None:
        """``retry_seconds`` before Lambda's first retry of an asynchronous event, twice that before the second; AWS: 60."""
        self.license_manager = LicenseManagerServer(instance_state=self._instance_state)
        self.dynamodb = DynamoDBServer()
        self._trace_daemon = TraceDaemon()
        self._port = port or _free_port()
        self._retry_seconds = retry_seconds
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._resources = contextlib.ExitStack()
        self._clients: dict[tuple[str, Credentials], Any] = {}
        self._people: dict[str, Credentials] = {}

    # Life

    def __enter__(self) -> "LocalCloud":
        with contextlib.ExitStack() as starting:
            self._folder = Path(tempfile.mkdtemp(prefix="local-cloud-"))
            starting.callback(shutil.rmtree, self._folder, ignore_errors=True)
            starting.enter_context(self.license_manager)
            starting.enter_context(self.dynamodb)
            starting.enter_context(self._trace_daemon)
            settings = self._settings()
            starting.callback(self._stop)
            try:
                self._start(settings)
            except TimeoutError:  # another process took the port that was free a moment ago
                self._stop()
                self._port = _free_port()
                self._start(settings)
            if settings.node:
                self.license_manager.denial = partial(self._denial, "license-manager")
                self.dynamodb.denial = partial(self._denial, "dynamodb")
            self._answers = AnswersClient(settings.answers_url_file.read_text(), settings.authority)
            threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()
            self._resources = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _settings(self) -> Settings:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self._folder / "authority.pem")
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
            self._folder / "certificate.pem"
        )
        machine = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
        return Settings(
            emulator=_executable(_sam() / f"local/rapid/aws-lambda-rie-{machine}"),
            runtime_python=_RUNTIME_PYTHON,
            certificate=self._folder / "certificate.pem",
            authority=self._folder / "authority.pem",
            answers_url_file=self._folder / "answers.url",
            license_manager_url=self.license_manager.url,
            dynamodb_url=self.dynamodb.url,
            trace_daemon=self._trace_daemon.address,
            sandboxes=self._folder / "sandboxes",
            node=self.node() if self.can_check_permissions() else "",
            policy_engine=self.POLICY_ENGINE,
            verdicts_file=self._folder / "verdicts.jsonl",
        )

    @staticmethod
    def node() -> str:
        """The program that runs the policy engine; empty where there is none."""
        return shutil.which("node") or ""

    @classmethod
    def can_check_permissions(cls) -> bool:
        return bool(cls.node()) and (cls.POLICY_ENGINE / "node_modules").is_dir()

    @classmethod
    def on_this_machine(cls) -> str:
        """What this machine lets it be: which Python runs the functions, and whether permissions are checked."""
        version = subprocess.run([_RUNTIME_PYTHON, "-V"], check=True, capture_output=True, text=True).stdout.strip()
        judged = (
            "Each call is judged by the IAM policies of the role or the person that makes it."
            if cls.can_check_permissions()
            else "Permissions are NOT checked: that needs Node with npm, and then `make setup`."
        )
        return f"The functions run on {version}. {judged}"

    def _start(self, settings: Settings) -> None:
        for name in ("tmp", "home", "volume"):
            (self._folder / name).mkdir(exist_ok=True)
        environment = {
            **settings.to_environment(),
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder / "home"),
            "XDG_CACHE_HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            "LOCALSTACK_VOLUME_DIR": str(self._folder / "volume"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(_PLUGINS / "entry_points")]),
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
            "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", ""),
            "GATEWAY_LISTEN": f"127.0.0.1:{self._port}",
            "GATEWAY_SERVER": "loopback",
            "LOCALSTACK_HOST": f"127.0.0.1:{self._port}",
            "SERVICES": ",".join(_SERVICES),
            "STRICT_SERVICE_LOADING": "1",
            "EAGER_SERVICE_LOADING": "0",
            "PERSISTENCE": "0",
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0",
            "SQS_ENDPOINT_STRATEGY": "path",
            "LAMBDA_RUNTIME_EXECUTOR": "emulator",
            "LAMBDA_RETRY_BASE_DELAY": str(self._retry_seconds),
            "PROVIDER_OVERRIDE_CLOUDFORMATION": "lifecycles",
            "PROVIDER_OVERRIDE_S3": "contained",
            "PROVIDER_OVERRIDE_STEPFUNCTIONS": "converting",
            "PROVIDER_OVERRIDE_EC2": "converting",
            "CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES": "0",
            "CFN_PER_RESOURCE_TIMEOUT": "300",
        }
        python = ROOT / ".local/localstack/bin/python"
        with self.localstack_log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("follow.py")),
                 str(python), "-m", "localstack.runtime.main"],
                cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"LocalStack did not start:\n{self.localstack_log.read_text()[-4000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"LocalStack does not answer on port {self._port}")
            time.sleep(0.1)

    def _warm_up(self) -> None:
        """LocalStack loads a service at its first call, which takes seconds: do that while ``sam`` itself still starts."""
        for service, operation in _FIRST_CALLS:
            with contextlib.suppress(BotoCoreError, ClientError):  # the cloud may be gone already
                getattr(self._new_client(service), operation)()

    def _instance_state(self, instance_id: str) -> str | None:
        try:
            found = self.client("ec2").describe_instance_status(InstanceIds=[instance_id], IncludeAllInstances=True)
        except ClientError as error:
            if error.response["Error"]["Code"].startswith("InvalidInstanceID"):
                return None
            raise
        return str(found["InstanceStatuses"][0]["InstanceState"]["Name"])

    def _is_ready(self) -> bool:
        try:
            with _direct.open(f"{self.endpoint_url}/_localstack/health", timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def _stop(self) -> None:
        """There is no state worth a farewell: the kernel ends the sandboxes with LocalStack."""
        if self._process and self._process.poll() is None:
            rest = list(_descendants(self._process.pid))
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            deadline = time.monotonic() + 5
            while any(_is_alive(pid) for pid in rest) and time.monotonic() < deadline:
                time.sleep(0.02)

    # Addresses

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def localstack_log(self) -> Path:
        return self._folder / "localstack.log"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ENDPOINT_URL_LICENSE_MANAGER": self.license_manager.url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ROOT_USER.access_key_id,
            "AWS_SECRET_ACCESS_KEY": ROOT_USER.secret_access_key,
        }

    # People and permissions

    def person(self, name: str, policy: str) -> Credentials:
        """An IAM user who may do what the policy (JSON) allows, made at the first call with this name."""
        if name not in self._people:
            users = self.client("iam")
            users.create_user(UserName=name)
            arn = users.create_policy(PolicyName=name, PolicyDocument=policy)["Policy"]["Arn"]
            users.attach_user_policy(UserName=name, PolicyArn=arn)
            key = users.create_access_key(UserName=name)["AccessKey"]
            self._people[name] = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        return self._people[name]

    @property
    def deployer(self) -> Credentials:
        """Somebody with the rights that docs/permissions.md says deploying needs."""
        return self.person("deployer", policy_of("Who deploys the application"))

    def verdicts(self) -> list[Verdict]:
        """Each call that was judged, once for each principal, action, resource and context; oldest first."""
        return Verdict.read(self._folder / "verdicts.jsonl")

    def _denial(self, service: str, operation: str, parameters: Any, region: str, access_key: str) -> str:
        """What IAM says to a call of a service that is not LocalStack's."""
        call = Call(service, operation, parameters, ACCOUNT, region)
        asked = json.dumps({"access_key": access_key, "call": asdict(call)}).encode()
        with _direct.open(f"{self.endpoint_url}{iam.PATH}", asked, timeout=30) as reply:
            return str(json.load(reply)["denial"])

    def client(self, service: str, of: Credentials = ROOT_USER) -> Any:
        """A boto3 client of this cloud; ``license-manager`` and ``dynamodb`` are those beside it."""
        if (service, of) not in self._clients:
            self._clients[service, of] = self._new_client(service, of)
        return self._clients[service, of]

    def _new_client(self, service: str, of: Credentials = ROOT_USER) -> Any:
        return boto3.Session().client(
            service,  # type: ignore[call-overload]
            endpoint_url=self._beside.get(service, self.endpoint_url),
            region_name=REGION,
            aws_access_key_id=of.access_key_id,
            aws_secret_access_key=of.secret_access_key,
            # CloudWatch Logs there answers 500 when a group is made while it lists them; other calls are not repeated
            config=Config(read_timeout=120, proxies={}, retries={"total_max_attempts": 5 if service == "logs" else 1}),
        )

    @property
    def _beside(self) -> Mapping[str, str]:
        return {"license-manager": self.license_manager.url, "dynamodb": self.dynamodb.url}

    # Stacks

    def deploy(self, stack_name: str, template: Path, parameters: Mapping[str, str] | None = None) -> Stack:
        """``sam deploy`` of what ``sam build`` left, by the deployer; raise RuntimeError with its output if it fails."""
        self.client("s3").create_bucket(Bucket=ARTIFACTS)  # --resolve-s3 works too, and waits 20 s for its own stack
        overrides = [f"{name}={value}" for name, value in (parameters or {}).items()]
        self.sam(
            *("deploy", "--template-file", str(template), "--stack-name", stack_name, "--s3-bucket", ARTIFACTS),
            *("--no-progressbar", "--no-confirm-changeset"),
            *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"),
            *(("--parameter-overrides", *overrides) if overrides else ()),
        )
        return self.describe(stack_name)

    def sam(self, *arguments: str, folder: Path = ROOT) -> str:
        """A command of SAM's by the deployer, where a samconfig.toml is. Raise RuntimeError with its output if it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "samcli", *arguments],
            cwd=folder, env=self._environment_for_sam(), check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"sam {arguments[0]} failed:\n{done.stdout}")
        return done.stdout

    def _environment_for_sam(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        quiet = {
            "SAM_CLI_TELEMETRY": "0",
            "__SAM_CLI_APP_DIR": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            "NO_PROXY": "127.0.0.1",
        }
        person = {
            "AWS_ACCESS_KEY_ID": self.deployer.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.deployer.secret_access_key,
        }
        return {**own, **self.environment, **person, **quiet, "SAM_CLI_POLL_DELAY": "0.5"}

    def create_stack(
        self,
        stack_name: str,
        template: Path | str,
        parameters: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
        by: Credentials = ROOT_USER,
        **options: Any,
    ) -> Stack:
        """``template`` is a path or a body; ``options`` go to CreateStack. With ``wait``, come back when it has ended."""
        return self._deploy_directly("create_stack", stack_name, template, parameters, wait=wait, by=by, **options)

    def update_stack(
        self,
        stack_name: str,
        template: Path | str,
        parameters: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
        **options: Any,
    ) -> Stack:
        return self._deploy_directly("update_stack", stack_name, template, parameters, wait=wait, **options)

    def _deploy_directly(
        self,
        operation: Literal["create_stack", "update_stack"],
        stack_name: str,
        template: Path | str,
        parameters: Mapping[str, str] | None,
        *,
        wait: bool,
        by: Credentials = ROOT_USER,
        **options: Any,
    ) -> Stack:
        stack_id: str = getattr(self.client("cloudformation", by), operation)(
            StackName=stack_name,
            **self._template(template.read_text() if isinstance(template, Path) else template),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in (parameters or {}).items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            **options,
        )["StackId"]
        return self.wait_for_stack(stack_id) if wait else self.describe(stack_id)

    def _template(self, body: str) -> dict[str, str]:
        """A request has room for the body of a small template; a larger one is read from S3, as `sam deploy` has it."""
        if len(body.encode()) <= _TEMPLATE_BYTES:
            return {"TemplateBody": body}
        key = f"{hashlib.sha256(body.encode()).hexdigest()}.template"
        self.client("s3").put_object(Bucket=ARTIFACTS, Key=key, Body=body.encode())
        return {"TemplateURL": f"https://s3.{REGION}.amazonaws.com/{ARTIFACTS}/{key}"}

    def delete_stack(self, stack: str, *, wait: bool = True) -> Stack:
        stack_id = self.describe(stack).id
        self.client("cloudformation").delete_stack(StackName=stack_id)
        return self.wait_for_stack(stack_id) if wait else self.describe(stack_id)

    def wait_for_stack(self, stack: str, seconds: float = 300) -> Stack:
        """The stack (by name or id) once nothing is in progress; raise TimeoutError if that takes longer."""
        deadline = time.monotonic() + seconds
        while (status := self._status(stack)).endswith("_IN_PROGRESS"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{stack} is still {status} after {seconds} seconds")
            time.sleep(0.1)
        return self.describe(stack)

    def _status(self, stack: str) -> str:
        found = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        return str(found["StackStatus"])

    def describe(self, stack: str) -> Stack:
        """By name or id; a deleted one by id only."""
        cloudformation = self.client("cloudformation")
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        events = cloudformation.describe_stack_events(StackName=found["StackId"])["StackEvents"]
        return Stack(
            id=found["StackId"],
            name=found["StackName"],
            status=found["StackStatus"],
            outputs={one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])},
            events=tuple(reversed(events)),
        )

    # What happened

    def answers(self, request_or_stack: str = "") -> list[Answer]:
        """Every PUT to a presigned URL, refused ones too, oldest first; of one request id, stack id or logical id."""
        return self._answers.answers(request_or_stack)

    def requests(self, request_or_stack: str = "") -> list[Issued]:
        """Every lifecycle event that CloudFormation sent: the event without its ResponseURL, and the URL beside it."""
        return [one for one in self._answers.issued(request_or_stack) if one.request]

    def handles(self, stack: str = "") -> list[Issued]:
        """The URL of every wait condition handle, of one stack id or logical id."""
        return [one for one in self._answers.issued(stack) if not one.request]

    def misbehave(self, *kinds: Misbehaviour, stack: str) -> None:
        """What the next PUTs for the stack of this name meet instead of 200; see ``answers``."""
        self._answers.misbehave(*kinds, key_part=f":stack/{stack}/")

    def hide(self, *names: str, stack: str) -> None:
        """Leave out of the requests of the stack of this name what AWS does not document; see ``answers``."""
        self._answers.hide(*names, key_part=f":stack/{stack}/")

    def reuse_request_id(self, request_id: str) -> None:
        """Give the next lifecycle event this id again, with a URL of its own: a deployment that is tried again."""
        self._answers.reuse_request_id(request_id)

    def log_lines(self) -> list[str]:
        """Every line that any function has logged, in CloudWatch Logs' order group by group."""
        logs = self.client("logs")
        lines = []
        for groups in logs.get_paginator("describe_log_groups").paginate():
            for group in groups["logGroups"]:
                with contextlib.suppress(ClientError):  # the group went with its stack meanwhile
                    for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                        lines += [event["message"].rstrip("\n") for event in page["events"]]
        return lines

    def subsegments(self) -> list[dict[str, Any]]:
        """Every subsegment that a function has sent to X-Ray, in the order in which they ended."""
        return list(self._trace_daemon.subsegments)

    def processes(self) -> list[int]:
        """LocalStack's process, and those of the sandboxes."""
        assert self._process is not None
        return [self._process.pid, *_descendants(self._process.pid)]

    # Chaos

    def kill_runtimes(self, function: str) -> int:
        """SIGKILL the runtime process in each sandbox of the functions whose ARN contains this, as a lack of memory would;
        return how many there were.
        """
        killed = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                _, program, arn, *_ = (*Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"), b"", b"")
                if program.endswith(b"lambda_entry.py") and function.encode() in arn:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        return killed


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def _sam() -> Path:
    found = importlib.util.find_spec("samcli")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def _executable(program: Path) -> Path:
    if not os.access(program, os.X_OK):
        program.chmod(0o755)
    return program


def _is_alive(pid: int) -> bool:
    """A zombie only waits for its parent to take notice."""
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].startswith(" Z")
    except OSError:
        return False


def _descendants(pid: int) -> Iterator[int]:
    """Children, their children and so on, from the kernel's table of processes."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    to_visit = [pid]
    while to_visit:
        for child in children.get(to_visit.pop(), []):
            yield child
            to_visit.append(child)
