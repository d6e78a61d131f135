"""Time and memory until a handler can take its first event, against the same gate on stock crhelper. Ratios only.

Each start is a new process of the Python that the local cloud runs the functions on, with nothing on its path but AWS's
runtime packages, the built layer and our code. The Runtime Interface Emulator would add the same to both.

Time is the processor's, because a busy machine's clock says little. Memory is VmHWM: ru_maxrss would start with that of the
process that started this one. As deployed, our code and the layer are compiled at each start: in Lambda both come without
bytecode and cannot write any. With bytecode is what is left when that is done beforehand.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".local" / "lambda-runtime" / "bin" / "python"
LAYER = ROOT / ".aws-sam" / "build" / "DependenciesLayer" / "python"
STOCK = "stock crhelper"
READY = "first client"
HANDLERS: Mapping[str, str] = {
    STOCK: "import stock_crhelper",
    "custom_resource": "import custom_resource",
    "check_task": "import check_task",
    f"check_task, {READY}": (
        "import check_task; from license_conversion.license_manager import LicenseManager; LicenseManager('')._client"
    ),
    f"check_task, {READY}, traced": """
import check_task
from license_conversion import telemetry
from license_conversion.license_manager import LicenseManager
with telemetry.traced("check"):
    LicenseManager('')._client
""",
}
"""The last two also make the client that stock crhelper's handler has by then, and ours makes in its first invocation."""
TRACED = {
    "LAMBDA_TASK_ROOT": "/var/task",
    "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
    "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
}
MEASURE = """
import json, time
began = time.process_time()
{start}
seconds = time.process_time() - began
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps([seconds, peak / 1024]))
"""
AWS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@dataclass(frozen=True)
class ColdStart:
    """Medians, as a share of stock crhelper's in the same run."""

    handler: str
    time: float
    memory: float


def measure(*, bytecode: bool, repetitions: int = 11) -> list[ColdStart]:
    """Interleaved, so that whatever else the machine does hits all of them. The first round fills the caches."""
    seen: dict[str, list[Sequence[float]]] = {name: [] for name in HANDLERS}
    with TemporaryDirectory() as deployed:
        for folder in (ROOT / "handlers", LAYER, ROOT / "benchmarks"):
            shutil.copytree(folder, Path(deployed) / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
        for repetition in range(repetitions + 1):
            for name, start in HANDLERS.items():
                found = _start(start, Path(deployed), bytecode=bytecode)
                if repetition:
                    seen[name].append(found)
    middle = {name: [median(one[i] for one in starts) for i in (0, 1)] for name, starts in seen.items()}
    stock_time, stock_memory = middle[STOCK]
    return [
        ColdStart(name, time / stock_time, memory / stock_memory)
        for name, (time, memory) in middle.items()
        if name != STOCK
    ]


def layer_megabytes() -> float:
    return sum(file.stat().st_size for file in LAYER.rglob("*") if file.is_file()) / 1e6


def _start(start: str, deployed: Path, *, bytecode: bool) -> Sequence[float]:
    path = [deployed / "handlers", deployed / LAYER.name, deployed / "benchmarks"]
    environment = {
        **AWS,
        **TRACED,
        "PYTHONDONTWRITEBYTECODE": "" if bytecode else "1",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PATH": os.environ["PATH"],
    }
    command = [str(PYTHON), "-c", MEASURE.format(start=start)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    found: Sequence[float] = json.loads(done.stdout.splitlines()[-1])
    return found
