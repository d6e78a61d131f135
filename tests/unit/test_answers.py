"""The receiver of answers takes a PUT as S3 does, and misbehaves as it is told."""

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.local_cloud.answers import DATE, LOST, RESET, TIMEOUT, AnswersReceiver

KEY = "arn:aws:cloudformation:us-east-1:000000000000:stack/mine/x|Gate|1"


class PutsToS3:
    """A receiver in this process, a clock of its own, and a client that trusts it."""

    def __init__(self, authority: Path, server: Path) -> None:
        self.now = 1_795_000_000.0
        self.receiver = AnswersReceiver(server, clock=lambda: self.now)
        self._trusting = ssl.create_default_context(cafile=authority)

    def put(self, url: str, **headers: str) -> int:
        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(parts.netloc, timeout=0.5, context=self._trusting)
        connection.putrequest("PUT", f"{parts.path}?{parts.query}")
        for name, value in (headers or {"Content_Length": "0"}).items():
            connection.putheader(name.replace("_", "-"), value)
        try:
            connection.endheaders()
            return connection.getresponse().status
        finally:
            connection.close()

    def outcomes(self) -> list[tuple[str, bool]]:
        return [(one.outcome, one.taken) for one in self.receiver.answers(KEY)]


@pytest.fixture
def s3(certificates: tuple[Path, Path]) -> Iterator[PutsToS3]:
    puts = PutsToS3(*certificates)
    with puts.receiver:
        yield puts


@pytest.fixture(params=["response", "handle"])
def url(s3: PutsToS3, request: pytest.FixtureRequest) -> str:
    """A URL of each of the two forms."""
    return s3.receiver.issue(KEY, handle=request.param == "handle")


def test_a_put_under_an_issued_url_is_taken_until_it_expires(s3: PutsToS3, url: str) -> None:
    assert s3.put(url, Content_Length="0", Content_Type="") == 200
    s3.now += 7_198
    assert s3.put(url) == 200
    s3.now += 86_400
    assert s3.put(url) == 403
    assert s3.outcomes() == [("200", True), ("200", True), ("403", False)]


@pytest.mark.parametrize(("issued", "sent"), [("%3A", ":"), ("%7C", "|"), ("%3A", "%3a"), ("ignature=", "ignature=0")])
def test_a_url_that_is_not_what_was_signed_is_refused(s3: PutsToS3, url: str, issued: str, sent: str) -> None:
    assert issued in url
    assert s3.put(url.replace(issued, sent, 1)) == 403


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


def test_the_date_is_hidden_from_one_stack(s3: PutsToS3) -> None:
    s3.receiver.hide(DATE, key_part=":stack/mine/")

    url = s3.receiver.issue(KEY)
    assert DATE not in url
    assert s3.put(url) == 200
    assert DATE in s3.receiver.issue(KEY.replace("mine", "other"))


@pytest.mark.parametrize(("kind", "taken"), [(RESET, False), (TIMEOUT, False), (LOST, True)])
def test_it_misbehaves_once_to_the_one_whom_it_is_told_of(s3: PutsToS3, url: str, kind: str, taken: bool) -> None:
    s3.receiver.misbehave(kind, key_part=":stack/mine/")

    assert s3.put(s3.receiver.issue(KEY.replace("mine", "other"))) == 200
    with pytest.raises(OSError):  # noqa: PT011 - a reset, a time-out, or an end of what was said
        s3.put(url)
    assert s3.put(url) == 200
    assert s3.outcomes() == [(kind, taken), ("200", True)]
