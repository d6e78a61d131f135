"""boto3's clients of the local cloud, and whose calls they make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config

REGION = "us-east-1"
ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Credentials:
    """Whose calls a client makes."""

    access_key_id: str
    secret_access_key: str


ROOT_USER = Credentials("test", "test")


@dataclass
class Clients:
    """A client is made once. `beside` are the services that listen on an address of their own."""

    endpoint_url: str
    beside: Mapping[str, str]
    _made: dict[tuple[str, Credentials], Any] = field(default_factory=dict)

    def get(self, service: str, of: Credentials = ROOT_USER) -> Any:
        if (service, of) not in self._made:
            self._made[service, of] = self.new(service, of)
        return self._made[service, of]

    def new(self, service: str, of: Credentials = ROOT_USER) -> Any:
        """For a thread of its own. Each call has a connection of its own: LocalStack, when it is busy, closes one that was idle
        under the next call.
        """
        client = boto3.Session().client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.beside.get(service, self.endpoint_url),
            region_name=REGION,
            aws_access_key_id=of.access_key_id,
            aws_secret_access_key=of.secret_access_key,
            # CloudWatch Logs there answers 500 when a group is made while it lists them; other calls are not repeated
            config=Config(read_timeout=120, proxies={}, retries={"total_max_attempts": 5 if service == "logs" else 1}),
        )
        client.meta.events.register("before-send", _alone)
        return client


def _alone(request: AWSPreparedRequest, **_: Any) -> None:
    request.headers["Connection"] = "close"
