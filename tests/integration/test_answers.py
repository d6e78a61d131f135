"""The receiver of answers takes a PUT as S3 does, and misbehaves as it is told."""

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from tests.local_cloud.answers import DATE, LOST, RESET, SERVICE_TIMEOUT, TIMEOUT, AnswersReceiver

KEY = "arn:aws:cloudformation:us-east-1:000000000000:stack/mine/x|Gate|1"


class PutsToS3:
    """The receiver in this process, a clock of its own, and a client that trusts it."""

    def __init__(self, receiver: AnswersReceiver, trusting: ssl.SSLContext) -> None:
        self.receiver = receiver
        self.now = 1_795_000_000.0
        self._trusting = trusting

    def put(self, url: str, body: bytes | None = b"{}", **headers: str) -> int:
        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(parts.netloc, timeout=0.5, context=self._trusting)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            if body is None:
                connection.putrequest("PUT", f"{parts.path}?{parts.query}")
                for header in named.items():
                    connection.putheader(*header)
                connection.endheaders()
            else:
                connection.request("PUT", f"{parts.path}?{parts.query}", body, named)
            return connection.getresponse().status
        finally:
            connection.close()

    def outcomes(self, key_part: str = "") -> list[tuple[str, bool]]:
        return [(one.outcome, one.taken) for one in self.receiver.answers(key_part)]


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ssl.SSLContext]:
    certificate = tmp_path_factory.mktemp("receiver") / "certificate.pem"
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return str(certificate), trusting


@pytest.fixture
def s3(trust: tuple[str, ssl.SSLContext]) -> Iterator[PutsToS3]:
    certificate, trusting = trust
    with AnswersReceiver(Path(certificate), clock=lambda: server.now) as receiver:
        server = PutsToS3(receiver, trusting)
        yield server


@pytest.fixture(params=["response", "handle"])
def url(s3: PutsToS3, request: pytest.FixtureRequest) -> str:
    """A URL of each of the two forms."""
    return s3.receiver.issue(KEY, handle=request.param == "handle")


def test_a_put_under_an_issued_url_is_taken(s3: PutsToS3, url: str) -> None:
    assert s3.put(url, Content_Type="") == 200
    assert s3.put(url) == 200
    assert s3.outcomes(KEY) == [("200", True)] * 2


def test_another_signature_is_refused(s3: PutsToS3, url: str) -> None:
    assert s3.put(url[:-1]) == 403
    assert s3.outcomes(KEY) == [("403", False)]


@pytest.mark.parametrize(("encoded", "decoded"), [("%3A", ":"), ("%7C", "|"), ("%3A", "%3a")])
def test_a_path_that_is_encoded_otherwise_is_refused(s3: PutsToS3, url: str, encoded: str, decoded: str) -> None:
    assert encoded in url
    assert s3.put(url.replace(encoded, decoded, 1)) == 403


@pytest.mark.parametrize("name", ["application/json", "application/x-www-form-urlencoded"])
def test_a_content_type_that_was_not_signed_is_refused(s3: PutsToS3, url: str, name: str) -> None:
    assert s3.put(url, Content_Type=name) == 403


def test_a_body_in_chunks_is_not_implemented(s3: PutsToS3, url: str) -> None:
    """Whoever answers by the headers does not wait for the chunks."""
    assert s3.put(url, None, Transfer_Encoding="chunked") == 501
    assert s3.outcomes(KEY) == [("501", False)]


def test_a_body_without_a_length_is_refused(s3: PutsToS3, url: str) -> None:
    assert s3.put(url, None) == 411


def test_a_url_expires(s3: PutsToS3, url: str) -> None:
    s3.now += 7_198
    assert s3.put(url) == 200
    s3.now += 86_400
    assert s3.put(url) == 403


def test_a_handle_has_the_older_form_and_a_response_url_the_newer_one(s3: PutsToS3) -> None:
    names = {
        handle: [part.split("=")[0] for part in urlsplit(s3.receiver.issue(KEY, handle=handle)).query.split("&")]
        for handle in (True, False)
    }

    assert names[True] == ["AWSAccessKeyId", "Expires", "Signature"]
    assert names[False][:2] == ["X-Amz-Algorithm", DATE]
    assert names[False][-1] == "X-Amz-Signature"


def test_what_is_hidden_is_hidden_from_one_stack(s3: PutsToS3) -> None:
    s3.receiver.hide(DATE, key_part=":stack/mine/")
    s3.receiver.hide(SERVICE_TIMEOUT, key_part=":stack/other/")

    url = s3.receiver.issue(KEY)
    assert DATE not in url
    assert s3.put(url) == 200
    assert DATE in s3.receiver.issue(KEY.replace("mine", "other"))
    assert s3.receiver.hidden_from(KEY.replace("mine", "other")) == {SERVICE_TIMEOUT}


@pytest.mark.parametrize(
    ("kind", "error", "taken"),
    [
        (RESET, ConnectionResetError, False),
        (TIMEOUT, TimeoutError, False),
        (LOST, (ConnectionError, http.client.RemoteDisconnected, ssl.SSLError), True),
    ],
)
def test_it_misbehaves_as_it_is_told_once(
    s3: PutsToS3, url: str, kind: str, error: type[Exception] | tuple[type[Exception], ...], taken: bool
) -> None:
    s3.receiver.misbehave(kind)
    with pytest.raises(error):
        s3.put(url)
    assert s3.put(url) == 200
    assert s3.outcomes() == [(kind, taken), ("200", True)]


def test_it_misbehaves_to_the_one_whom_it_is_told_of(s3: PutsToS3) -> None:
    mine, other = s3.receiver.issue(KEY), s3.receiver.issue(KEY.replace("mine", "other"))
    s3.receiver.misbehave(503, key_part=":stack/mine/")

    assert [s3.put(other), s3.put(mine), s3.put(mine)] == [200, 503, 200]
