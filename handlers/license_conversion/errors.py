"""The errors of a gate. Their names are public: a state machine's caller catches them (`Error` in its history)."""


class GateError(Exception):
    """What ends a gate without an outcome of the conversion. `str()` is one sentence for a person.

    `grace` is for how many seconds License Manager has to refuse without a break before the refusal is believed: a task, a
    role or a subscription can be too new for the service that is asked about it. 0 for what is wrong in itself.
    """

    name = ""

    def __init__(self, sentence: str, *, grace: int = 0) -> None:
        super().__init__(sentence)
        self.grace = grace


class InvalidRequest(GateError):  # noqa: N818 - the public name
    """The properties or the input are refused, or License Manager refuses the id or the region."""

    name = "LicenseConversion.InvalidRequest"


class AccessDenied(GateError):  # noqa: N818 - the public name
    """License Manager does not let our role read the task."""

    name = "LicenseConversion.AccessDenied"


for _error in (InvalidRequest, AccessDenied):
    _error.__name__ = _error.name  # what Lambda reports as errorType, so that a state machine catches it by this name


class StillUnknown(Exception):  # noqa: N818 - it ends nothing: the gate waits on
    """License Manager did not say how the task stands: a throttle, its own fault, or the network's."""

    def __init__(self, message: str, *, throttled: bool = False) -> None:
        super().__init__(message)
        self.throttled = throttled


class TableUnavailable(Exception):  # noqa: N818 - says what happened
    """The table of registrations cannot be read or written now. It never ends a gate: the gate asks License Manager itself."""


class ResponseNotTaken(Exception):  # noqa: N818 - says what happened
    """The response (or the signal) was not taken in the time that there was. The URL is a credential and never in the text."""


class RecipientGone(ResponseNotTaken):
    """It will not be taken any more: CloudFormation has given the request up, or the URL is none of CloudFormation's."""
