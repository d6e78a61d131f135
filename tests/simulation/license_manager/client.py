"""Stands where boto3's client of License Manager would, with no wire between: for virtual time."""

from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from tests.simulation.clock import BEGINNING
from tests.simulation.license_manager.service import ConversionService, Json, ServiceError

TIMES = ("StartTime", "LicenseConversionTime", "EndTime")


class Client:
    """Of a `service` whose clock counts seconds since the beginning."""

    def __init__(self, service: ConversionService, region: str = "us-east-1") -> None:
        self.service = service
        self._region = region

    def get_license_conversion_task(self, **parameters: Any) -> Json:
        return self._call("GetLicenseConversionTask", parameters)

    def list_license_conversion_tasks(self, **parameters: Any) -> Json:
        return self._call("ListLicenseConversionTasks", parameters)

    def _call(self, operation: str, parameters: Json) -> Json:
        try:
            answer = self.service.answer(operation, parameters, self._region)
        except ServiceError as refused:
            raise error(refused.name, operation, str(refused)) from refused
        for task in answer.get("LicenseConversionTasks", [answer]):
            task.update({name: _moment(task[name]) for name in TIMES if name in task})
        return answer


def _moment(seconds: float) -> datetime:
    return BEGINNING + timedelta(seconds=seconds)


def error(
    code: str, operation: str, message: str = "said", *, status: int = 400, kind: type[ClientError] = ClientError
) -> ClientError:
    """As botocore makes it of an answer."""
    said = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return kind(said, operation)  # type: ignore[arg-type]
