"""The errors of a gate. Their names are public: a state machine's caller catches them (`Error` in its history)."""


class GateError(Exception):
    """What ends a gate without a verdict of License Manager. `str()` is one sentence for a person.

    `grace` is for how many seconds it has to be said without a break before it is believed: a task, a role or a subscription
    can be too new for the service that is asked about it.
    """

    name = "LicenseConversion.GateBroken"

    def __init__(self, sentence: str, *, grace: int = 0) -> None:
        super().__init__(sentence)
        self.grace = grace


class InvalidRequest(GateError):  # noqa: N818 - the public name
    """The properties or the input are refused, or License Manager refuses the id or the region."""

    name = "LicenseConversion.InvalidRequest"


class AccessDenied(GateError):  # noqa: N818 - the public name
    """License Manager does not let our role read the task."""

    name = "LicenseConversion.AccessDenied"


class CheckBroken(Exception):  # noqa: N818 - says what happened
    """Our own fault, under a name by which the state machine tells it from Lambda's."""

    name = "LicenseConversion.CheckBroken"


for _error in (GateError, InvalidRequest, AccessDenied, CheckBroken):
    _error.__name__ = _error.name  # what Lambda reports as errorType, so that a state machine catches it by this name


class StillUnknown(Exception):  # noqa: N818 - no error for anybody: the gate waits on
    """License Manager gave no verdict this time: a throttle, its own fault, or the network's."""

    def __init__(self, message: str, *, throttled: bool = False) -> None:
        super().__init__(message)
        self.throttled = throttled


class TableUnavailable(Exception):  # noqa: N818 - says what happened
    """The crowd's table cannot be read or written now. Never ends a gate: it asks by itself."""


class AnswerNotDelivered(Exception):  # noqa: N818 - says what happened
    """Nobody took the answer (or the signal) in the time that there was. The URL is a credential and never in the text."""


class NobodyListens(AnswerNotDelivered):
    """And nobody will: CloudFormation has given the request up."""
