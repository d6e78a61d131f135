"""LocalStack's process, with our plug-ins, and those that it starts: the sandboxes of the functions."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.local_cloud import ROOT
from tests.local_cloud.localstack_plugins.cloud_settings import KILLED, CloudSettings

_PLUGINS = Path(__file__).parent / "localstack_plugins"
_SERVICES = (
    "cloudformation", "cloudwatch", "dynamodb", "ec2", "events", "iam", "kms", "lambda", "logs", "s3", "sns", "sqs", "ssm",
    "stepfunctions", "sts",
)  # fmt: skip
_START_SECONDS = 60
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class LocalStack:
    """One on a port that is free."""

    def __init__(self) -> None:
        (self._port,) = free_ports(1)
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        return self._folder / "localstack.log"

    def start(self, folder: Path, settings: CloudSettings) -> None:
        """Come back when it answers. It keeps everything in `folder`."""
        self._folder = folder
        try:
            self._start(settings)
        except TimeoutError:  # another process took the port that was free a moment ago
            self.stop()
            (self._port,) = free_ports(1)
            self._start(settings)

    def _start(self, settings: CloudSettings) -> None:
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
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0",
            "SQS_ENDPOINT_STRATEGY": "path",
            "LAMBDA_RUNTIME_EXECUTOR": "emulator",
            "LAMBDA_RETRY_BASE_DELAY": "1",  # seconds; AWS: 60
            "LAMBDA_KEEPALIVE_MS": "60000",  # of an idle sandbox, which has 40 MB
            "PROVIDER_OVERRIDE_CLOUDFORMATION": "lifecycles",
            "PROVIDER_OVERRIDE_S3": "contained",
            "PROVIDER_OVERRIDE_DYNAMODB": "contained",
            "PROVIDER_OVERRIDE_STEPFUNCTIONS": "converting",
            "PROVIDER_OVERRIDE_EC2": "converting",
            "CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES": "0",
        }
        python = ROOT / ".local/localstack/bin/python"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("follow.py")),
                 str(python), "-m", "localstack.runtime.main"],
                cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"LocalStack did not start:\n{self.log.read_text()[-4000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"LocalStack does not answer on port {self._port}")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with DIRECT.open(f"{self.endpoint_url}/_localstack/health", timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """There is no state worth a farewell: the kernel ends the sandboxes with LocalStack."""
        if self._process and self._process.poll() is None:
            rest = list(_descendants(self._process.pid))
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            deadline = time.monotonic() + 5
            while any(_is_alive(pid) for pid in rest) and time.monotonic() < deadline:
                time.sleep(0.02)

    def processes(self) -> list[int]:
        """LocalStack's process, and those of the sandboxes."""
        assert self._process is not None
        return [self._process.pid, *_descendants(self._process.pid)]

    def kill_runtimes(self, function: str) -> int:
        """SIGKILL the runtime process in each sandbox of the functions whose ARN contains this, as a lack of memory would;
        return how many there were.
        """
        killed = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                _, program, arn, folder, *_ = (*Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"), *[b""] * 4)
                if program.endswith(b"lambda_entry.py") and function.encode() in arn:
                    (Path(folder.decode()) / KILLED).touch()
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        return killed


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


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
