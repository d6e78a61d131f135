"""S3 in the local cloud's own folder: LocalStack keeps its objects in one fixed folder, shared by all and left behind."""

import tempfile
from pathlib import Path

from localstack.services.plugins import Service, aws_provider


@aws_provider(api="s3", name="contained")  # type: ignore[untyped-decorator,unused-ignore]  # LocalStack is untyped
def s3() -> Service:
    # Here, because S3 is loaded at its first call, and its import takes a while.
    from localstack.services.s3.provider import S3Provider  # noqa: PLC0415
    from localstack.services.s3.storage.ephemeral import EphemeralS3ObjectStore  # noqa: PLC0415

    return Service.for_provider(S3Provider(EphemeralS3ObjectStore(str(Path(tempfile.gettempdir()) / "s3"))))
