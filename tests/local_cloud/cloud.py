"""An AWS of our own on loopback, for as long as a ``with`` block lasts: no account, no Docker.

LocalStack with our plug-ins serves CloudFormation, Lambda, Step Functions and what they need; a License Manager of our own
runs in this process. Everything listens on 127.0.0.1, on ports that were free, and writes into one temporary folder. When
the block ends, however it ends, every process and the folder are gone; when this process is killed, the processes are.

Where Node is, every call is judged by the IAM policies of the role, or of the person, that makes it (see ``iam``); the clients
that `LocalCloud.client` gives are the account's root. What LocalStack lacks is ours (see ``localstack_plugins``).
"""

import contextlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import samcli  # type: ignore[import-untyped]
import trustme
from botocore.exceptions import BotoCoreError, ClientError

from tests.local_cloud import ROOT, inside
from tests.local_cloud.answers import Answer, Issued, Misbehaviour
from tests.local_cloud.clients import REGION, ROOT_USER, Clients, Credentials
from tests.local_cloud.iam.judge import Verdict
from tests.local_cloud.iam.person import policy_of
from tests.local_cloud.license_manager_server import LicenseManagerServer
from tests.local_cloud.localstack import LocalStack
from tests.local_cloud.localstack_plugins.cloud_settings import CloudSettings
from tests.local_cloud.stacks import Stacks

_FIRST_CALLS = (
    ("cloudformation", "list_stacks"), ("stepfunctions", "list_state_machines"), ("lambda", "list_functions"),
)  # fmt: skip
_RUNTIME_PYTHON = ROOT / ".local/lambda-runtime/bin/python"


class LocalCloud:
    """Use as a context manager; ``environment`` is what a person's own ``sam`` and ``aws`` commands need."""

    POLICY_ENGINE = ROOT / ".local/iam"

    def __init__(self) -> None:
        self.license_manager = LicenseManagerServer(instance_state=self._instance_state)
        self.localstack = LocalStack()
        self._folder = Path()
        self._resources = contextlib.ExitStack()
        self._people: dict[str, Credentials] = {}
        self._gatekeeper: Any = None

    # Life

    def __enter__(self) -> "LocalCloud":
        with contextlib.ExitStack() as starting:
            self._folder = Path(tempfile.mkdtemp(prefix="local-cloud-"))
            starting.callback(shutil.rmtree, self._folder, ignore_errors=True)
            starting.enter_context(self.license_manager)
            settings = self._settings()
            starting.callback(self.localstack.stop)
            self.localstack.start(self._folder, settings)
            self._clients = Clients(self.localstack.endpoint_url, {"license-manager": self.license_manager.url})
            self.stacks = Stacks(self._clients, self._environment_for_sam)
            within = inside.connected(int(settings.inside_file.read_text()), settings.inside_key)
            self._receiver: Any = within.receiver()  # type: ignore[attr-defined]
            self.tables_are_away: Any = within.tables_are_away()  # type: ignore[attr-defined]
            if settings.node:
                self._gatekeeper = within.gatekeeper()  # type: ignore[attr-defined]
                self.license_manager.denial = self._gatekeeper.denial_beside
            threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()
            self._resources = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _settings(self) -> CloudSettings:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self._folder / "authority.pem")
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
            self._folder / "certificate.pem"
        )
        machine = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
        return CloudSettings(
            emulator=_executable(Path(samcli.__file__).parent / f"local/rapid/aws-lambda-rie-{machine}"),
            runtime_python=_RUNTIME_PYTHON,
            certificate=self._folder / "certificate.pem",
            authority=self._folder / "authority.pem",
            license_manager_url=self.license_manager.url,
            inside_file=self._folder / "inside",
            inside_key=secrets.token_hex(),
            sandboxes=self._folder / "sandboxes",
            node=self.node() if self.can_check_permissions() else "",
            policy_engine=self.POLICY_ENGINE,
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

    def _warm_up(self) -> None:
        """LocalStack loads a service at its first call, which takes seconds: do that while ``sam`` itself still starts."""
        for service, operation in _FIRST_CALLS:
            with contextlib.suppress(BotoCoreError, ClientError):  # the cloud may be gone already
                getattr(self._clients.new(service), operation)()

    def _instance_state(self, instance_id: str) -> str:
        found = self.client("ec2").describe_instance_status(InstanceIds=[instance_id], IncludeAllInstances=True)
        return str(found["InstanceStatuses"][0]["InstanceState"]["Name"])

    # Addresses

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.localstack.endpoint_url,
            "AWS_ENDPOINT_URL_LICENSE_MANAGER": self.license_manager.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ROOT_USER.access_key_id,
            "AWS_SECRET_ACCESS_KEY": ROOT_USER.secret_access_key,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",  # nothing answers at sync-127.0.0.1
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
        """A person with the rights that docs/permissions.md says deploying needs."""
        return self.person("deployer", policy_of("Who deploys the application"))

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

    def verdicts(self) -> list[Verdict]:
        return self._gatekeeper.verdicts() if self._gatekeeper else []

    def client(self, service: str, of: Credentials = ROOT_USER) -> Any:
        """A boto3 client of this cloud; ``license-manager`` is the one beside it."""
        return self._clients.get(service, of)

    # What happened

    def answers(self, request_or_stack: str = "") -> list[Answer]:
        """Every PUT to a presigned URL, refused ones too, oldest first; of one request id, stack id or logical id."""
        return list(self._receiver.answers(request_or_stack))

    def received(self, request_or_stack: str = "") -> list[Any]:
        """What was said under presigned URLs, each different answer once: a sender that gets no reply in time sends it again."""
        return [json.loads(body) for body in dict.fromkeys(answer.body for answer in self.answers(request_or_stack))]

    def requests(self, request_or_stack: str = "") -> list[Issued]:
        """Every lifecycle event that CloudFormation sent: the event without its ResponseURL, and the URL beside it."""
        return [one for one in self._receiver.issued(request_or_stack) if one.request]

    def handles(self, stack: str = "") -> list[Issued]:
        """The URL of every wait condition handle, of one stack id or logical id."""
        return [one for one in self._receiver.issued(stack) if not one.request]

    def misbehave(self, *kinds: Misbehaviour, stack: str) -> None:
        """What the next PUTs for the stack of this name meet instead of 200; see ``answers``."""
        self._receiver.misbehave(*kinds, key_part=f":stack/{stack}/")

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


def _executable(program: Path) -> Path:
    if not os.access(program, os.X_OK):
        program.chmod(0o755)
    return program
