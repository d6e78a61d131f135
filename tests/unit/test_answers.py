"""The receiver of answers takes a PUT as S3 does."""

import http.client
import ssl
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.local_cloud.answers import AnswersReceiver

KEY = "arn:aws:cloudformation:us-east-1:000000000000:stack/mine/x|Gate|1"


class PutsToS3:
    """A receiver in this process, and a client that trusts it."""

    def __init__(self, receiver: AnswersReceiver, authority: Path) -> None:
        self.receiver = receiver
        self._trusting = ssl.create_default_context(cafile=authority)

    def put(self, url: str, **headers: str) -> int:
        parts = urlsplit(url)
        with closing(http.client.HTTPSConnection(parts.netloc, timeout=5, context=self._trusting)) as connection:
            connection.putrequest("PUT", f"{parts.path}?{parts.query}")
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            return connection.getresponse().status


@pytest.fixture
def s3(answers: AnswersReceiver, certificates: tuple[Path, Path]) -> PutsToS3:
    return PutsToS3(answers, certificates[0])


@pytest.fixture(params=["response", "handle"])
def url(s3: PutsToS3, request: pytest.FixtureRequest) -> str:
    """A URL of each of the two forms."""
    return s3.receiver.issue(KEY, handle=request.param == "handle")


@pytest.mark.parametrize(("issued", "sent"), [("%3A", ":"), ("%7C", "|"), ("%3A", "%3a"), ("ignature=", "ignature=0")])
def test_a_url_that_is_not_what_was_signed_is_refused(s3: PutsToS3, url: str, issued: str, sent: str) -> None:
    assert s3.put(url, Content_Length="0") == 200
    assert s3.put(url.replace(issued, sent, 1), Content_Length="0") == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Length": "0", "Content_Type": "application/json"}, 403),
        ({"Content_Type": ""}, 411),
        ({"Transfer_Encoding": "chunked"}, 501),
    ],
    ids=["a type that was not signed", "no length", "chunks"],
)
def test_a_put_is_refused_that_s3_refuses(s3: PutsToS3, url: str, headers: dict[str, str], status: int) -> None:
    assert s3.put(url, **headers) == status
