"""What a sandbox runs in place of ``python -m awslambdaric``: the same, with two things the emulator gets wrong put right.

The emulator has every function believe that its ARN is in account 012345678912; here it is the one that LocalStack gave it.
And the runtime dies with the emulator, however that ends.
Runs in ``.local/lambda-runtime``, in the function's folder.
"""

import ctypes
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _, function_arn, _, handler = sys.argv  # between them, for who looks on, the sandbox's folder
    sys.path[0] = str(Path.cwd())  # as with -m: the function's folder comes first, and this file's is not importable

    from awslambdaric import __main__ as awslambdaric  # type: ignore[import-untyped]  # noqa: PLC0415
    from awslambdaric import bootstrap  # noqa: PLC0415

    handle: Callable[..., Any] = bootstrap.handle_event_request
    position = handle.__code__.co_varnames.index("invoked_function_arn")

    def handle_with_arn(*arguments: Any) -> Any:
        return handle(*arguments[:position], function_arn, *arguments[position + 1 :])

    bootstrap.handle_event_request = handle_with_arn
    awslambdaric.main(["awslambdaric", handler])


if __name__ == "__main__":
    main()
