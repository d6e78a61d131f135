"""What the Lambda runtime hands to a handler, as far as the handlers read it."""


class Context:
    """An invocation with so many `seconds` left."""

    def __init__(self, *, seconds: float = 30) -> None:
        self.aws_request_id = "11111111-2222-4333-8444-555555555555"
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return round(1000 * self._seconds)
