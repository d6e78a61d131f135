"""A response is sent until it is taken, over TLS, to a receiver that takes a PUT as S3 does."""

import socket
import ssl
from contextlib import closing
from http.client import HTTPSConnection
from urllib.parse import urlsplit

import pytest

from license_conversion.errors import ResponseNotTaken
from license_conversion.response import deliver
from tests.local_cloud.answers import LOST, RESET, TIMEOUT, AnswersReceiver

KEY = "arn:aws:cloudformation:us-east-1:000000000000:stack/mine/x|Gate|1"
BODY = '{"Reason": "größer"}'


class S3:
    """The receiver, and a clock that only pauses move."""

    def __init__(self, receiver: AnswersReceiver) -> None:
        self.receiver = receiver
        self.url = receiver.issue(KEY)
        self.pauses: list[float] = []

    def deliver(self, seconds: float = 60, url: str = "") -> int:
        where, now = url or self.url, lambda: sum(self.pauses)
        return deliver(where, BODY.encode(), seconds, sleep=self.pauses.append, monotonic=now)


@pytest.fixture
def s3(answers: AnswersReceiver) -> S3:
    return S3(answers)


@pytest.mark.parametrize("handle", [False, True], ids=["response", "signal"])
def test_one_put_with_a_length_and_no_content_type_to_the_signed_path_is_taken(s3: S3, handle: bool) -> None:
    """In chunks, under another path or query, or with a content type, S3 refuses it."""
    url = s3.receiver.issue(KEY, handle=handle)

    assert s3.deliver(url=url) == 1

    (answer,) = s3.receiver.answers()
    assert (answer.outcome, answer.taken, answer.body) == ("200", True, BODY)
    assert s3.pauses == []


@pytest.mark.parametrize("says", [200, 201, 204, 301, 302, 307, 400, 403, 404, 500, 503, RESET, LOST])
def test_every_2xx_has_taken_it_and_whatever_is_not_2xx_is_tried_again(s3: S3, says: int | str) -> None:
    """A redirect too: it is not followed, so the response was not taken."""
    s3.receiver.misbehave(says)

    assert s3.deliver() == (1 if says in (200, 201, 204) else 2)


def test_a_response_that_is_lost_for_ever_says_how_often_and_what_came_last_and_never_the_url(s3: S3) -> None:
    s3.receiver.misbehave(*[503] * 50)

    with pytest.raises(ResponseNotTaken, match=r"^6 attempts in 20 s, the last one: HTTP status 503$") as raised:
        s3.deliver(seconds=20)

    assert s3.receiver.issued()[0].signature not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("seconds", "pauses"),
    [(0, []), (0.5, []), (0.6, [0.5]), (1.5, [0.5]), (40, [0.5, 1, 2, 4, 8, 8, 8, 8])],
)
def test_it_is_tried_at_once_and_then_rarely_and_never_after_its_time(
    s3: S3, seconds: float, pauses: list[float]
) -> None:
    s3.receiver.misbehave(*[403] * 50)

    with pytest.raises(ResponseNotTaken):
        s3.deliver(seconds=seconds)

    assert s3.pauses == pauses
    assert len(s3.receiver.answers()) == len(pauses) + 1


def test_a_receiver_that_says_nothing_is_left_when_the_time_is_up(s3: S3) -> None:
    """In real time: without a time-out of its own the attempt would last as long as the invocation."""
    s3.receiver.misbehave(TIMEOUT)

    with pytest.raises(ResponseNotTaken, match="1 attempts in 0 s, the last one: TimeoutError"):
        s3.deliver(seconds=0.1)


def test_a_response_goes_to_no_server_whose_certificate_is_not_trusted(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(ResponseNotTaken, match=ssl.SSLCertVerificationError.__name__):
        s3.deliver(seconds=0)

    assert s3.receiver.answers() == []


@pytest.mark.parametrize("where", ["[bucket", "bucket:port", "a..b", "\ud800", "bucket/ \n"], ids=ascii)
def test_a_url_that_is_none_is_a_response_that_is_not_taken(s3: S3, where: str) -> None:
    with pytest.raises(ResponseNotTaken) as raised:
        s3.deliver(3, f"https://{where}/?X-Amz-Signature=c0ffee")

    assert "c0ffee" not in str(raised.value)
    assert s3.pauses == [0.5, 1], "another would come too late"


def test_a_response_is_never_sent_in_the_clear(s3: S3) -> None:
    """Whatever the URL says."""
    assert s3.deliver(url=s3.url.replace("https://", "http://")) == 1


@pytest.mark.parametrize("seconds", [23.5, 21.5])
def test_attempts_that_hang_are_each_given_up_early_enough_for_three_more_and_together_in_time(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the 23.5 s that one attempt of the state machine has for it, or in less; and no later than a moment after them."""
    attempts: list[float] = []
    spent: list[float] = []

    def hang(_address: object, timeout: float, *_: object) -> None:
        attempts.append(timeout)
        spent.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", hang)

    with pytest.raises(ResponseNotTaken, match="TimeoutError"):
        deliver("https://bucket/key?signed", b"{}", seconds, sleep=spent.append, monotonic=lambda: sum(spent))

    assert len(attempts) >= 4
    assert sum(spent) <= seconds + 0.5
    assert min(attempts) >= 0.5, "less is no attempt"


# The receiver takes a PUT as S3 does


def put(url: str, **headers: str) -> int:
    """By a client of its own."""
    parts = urlsplit(url)
    with closing(HTTPSConnection(parts.netloc, timeout=5)) as connection:
        connection.putrequest("PUT", f"{parts.path}?{parts.query}")
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        return connection.getresponse().status


@pytest.fixture(params=["response", "handle"])
def url(s3: S3, request: pytest.FixtureRequest) -> str:
    """A URL of each of the two forms."""
    return s3.receiver.issue(KEY, handle=request.param == "handle")


@pytest.mark.parametrize(("issued", "sent"), [("%3A", ":"), ("%7C", "|"), ("%3A", "%3a"), ("ignature=", "ignature=0")])
def test_a_url_that_is_not_what_was_signed_is_refused(url: str, issued: str, sent: str) -> None:
    assert put(url, Content_Length="0") == 200
    assert put(url.replace(issued, sent, 1), Content_Length="0") == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Length": "0", "Content_Type": "application/json"}, 403),
        ({"Content_Type": ""}, 411),
        ({"Transfer_Encoding": "chunked"}, 501),
    ],
    ids=["a type that was not signed", "no length", "chunks"],
)
def test_a_put_is_refused_that_s3_refuses(url: str, headers: dict[str, str], status: int) -> None:
    assert put(url, **headers) == status
