"""The sentences that a person reads at two in the morning. Pure.

The essentials come first and License Manager's own words last, because the end is what a limit cuts off.
"""

from datetime import timedelta

from license_conversion.fleet import Fleet
from license_conversion.task import ConversionTask

LONGER = "To wait longer raise TimeoutSeconds and ServiceTimeout, or name a WaitConditionHandle"


def failed(task: ConversionTask | Fleet, waited: timedelta, look: str) -> str:
    """The conversion itself FAILED."""
    return (
        f"License conversion FAILED: {task.label}, after the gate waited {duration(waited)}. {_more(task, look)} "
        f"License Manager says: {task.status_message or '(no StatusMessage)'}"
    )


def timed_out(task: ConversionTask | Fleet, waited: timedelta, look: str, trouble: str, *, with_handle: bool) -> str:
    """The wait ran out. The conversion goes on: License Manager has no cancel."""
    longer = "To wait longer raise TimeoutSeconds" if with_handle else LONGER
    return (
        f"The wait ran out, the conversion did not fail: {task.label} is still {task.status_word} after the gate waited "
        f"{duration(waited)}. The conversion itself goes on. {longer}. {_more(task, look)}"
        + (f" The last check said: {trouble}" if trouble else "")
    )


def duration(span: timedelta) -> str:
    """`1 h 2 min 3 s`, without the parts that are nought."""
    seconds = max(0, int(span.total_seconds()))
    parts = ((seconds // 3600, "h"), (seconds % 3600 // 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def _more(task: ConversionTask | Fleet, look: str) -> str:
    return f"Look further with: {task.command}; {look}."
