"""What LocalStack keeps elsewhere: S3's objects in a folder that all share, DynamoDB's tables in a Java program."""

import tempfile
from pathlib import Path

from localstack.services.plugins import Service, aws_provider

# Each service is loaded at its first call, and its import takes a while.


@aws_provider(api="s3", name="contained")  # type: ignore[untyped-decorator,unused-ignore]  # LocalStack is untyped
def s3() -> Service:
    from localstack.services.s3.provider import S3Provider  # noqa: PLC0415
    from localstack.services.s3.storage.ephemeral import EphemeralS3ObjectStore  # noqa: PLC0415

    return Service.for_provider(S3Provider(EphemeralS3ObjectStore(str(Path(tempfile.gettempdir()) / "s3"))))


@aws_provider(api="dynamodb", name="contained")  # type: ignore[untyped-decorator,unused-ignore]  # LocalStack is untyped
def dynamodb() -> Service:
    """moto's, in this process."""
    from localstack.aws.api.dynamodb import DynamodbApi  # noqa: PLC0415
    from localstack.services.moto import MotoFallbackDispatcher  # noqa: PLC0415

    return Service.for_provider(DynamodbApi(), dispatch_table_factory=MotoFallbackDispatcher)
