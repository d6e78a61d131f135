"""Resource types that open LocalStack's CloudFormation lacks, although its CloudWatch and Logs know most of the things.

It knows no saved query at all: that one only has an id.
"""

import uuid

from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)

from tests.local_cloud.localstack_plugins.resources import made_up_id


class Dashboard(ResourceProvider):  # type: ignore[misc]
    SCHEMA = {"primaryIdentifier": ["/properties/DashboardName"]}  # noqa: RUF012

    def create(self, request: ResourceRequest) -> ProgressEvent:
        return self._put(request, request.desired_state.get("DashboardName") or made_up_id(request))

    def update(self, request: ResourceRequest) -> ProgressEvent:
        return self._put(request, request.previous_state["DashboardName"])

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        request.aws_client_factory.cloudwatch.delete_dashboards(
            DashboardNames=[request.previous_state["DashboardName"]]
        )
        return ProgressEvent(OperationStatus.SUCCESS, {})

    @staticmethod
    def _put(request: ResourceRequest, name: str) -> ProgressEvent:
        model = {**request.desired_state, "DashboardName": name}
        request.aws_client_factory.cloudwatch.put_dashboard(DashboardName=name, DashboardBody=model["DashboardBody"])
        return ProgressEvent(OperationStatus.SUCCESS, model)


class QueryDefinition(ResourceProvider):  # type: ignore[misc]
    SCHEMA = {"primaryIdentifier": ["/properties/QueryDefinitionId"]}  # noqa: RUF012

    def create(self, request: ResourceRequest) -> ProgressEvent:
        return ProgressEvent(OperationStatus.SUCCESS, {**request.desired_state, "QueryDefinitionId": str(uuid.uuid4())})

    def update(self, request: ResourceRequest) -> ProgressEvent:
        kept = request.previous_state["QueryDefinitionId"]
        return ProgressEvent(OperationStatus.SUCCESS, {**request.desired_state, "QueryDefinitionId": kept})

    def delete(self, _: ResourceRequest) -> ProgressEvent:
        return ProgressEvent(OperationStatus.SUCCESS, {})
