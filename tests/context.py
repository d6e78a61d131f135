"""What the Lambda runtime hands to a handler, as far as the handlers and Powertools read it."""

ARN = "arn:aws:lambda:us-east-1:123456789012:function:"


class Context:
    """An invocation of `function` with so many `seconds` left."""

    def __init__(self, function: str = "gate", *, seconds: float = 30) -> None:
        self.function_name = function
        self.invoked_function_arn = ARN + function
        self.aws_request_id = "11111111-2222-4333-8444-555555555555"
        self.log_group_name = f"/license-conversion-gate/{function}"
        self.memory_limit_in_mb = 256
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return round(1000 * self._seconds)
