"""Serve a License Manager until interrupted: ``python -m tests.local_cloud.license_manager --port 4599``."""

import argparse
import signal
from contextlib import suppress

from tests.local_cloud.license_manager.server import LicenseManagerServer


def main() -> None:
    parser = argparse.ArgumentParser(description="A License Manager on 127.0.0.1, for conversion tasks.")
    parser.add_argument("--port", type=int, default=4599, help="0 takes any free one (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds a task takes (default: %(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with LicenseManagerServer(arguments.port, duration=arguments.duration) as server, suppress(KeyboardInterrupt):
        print(f"export AWS_ENDPOINT_URL_LICENSE_MANAGER={server.url}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
