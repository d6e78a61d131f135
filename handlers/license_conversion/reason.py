"""The sentences that a person reads at two in the morning. Pure.

The essentials come first and License Manager's own message last, because the end is what a limit cuts off. A sentence claims
nothing that no check has seen.
"""

from datetime import timedelta

from license_conversion.fleet import Conversion

LONGER_WITH_HANDLE = "To wait longer raise TimeoutSeconds and the wait condition's Timeout (12 hours at most)"
LONGER = "To wait longer raise TimeoutSeconds and ServiceTimeout (59 minutes at most), or name a WaitConditionHandle (12 hours)"


def failed(known: Conversion, waited: timedelta, further: str) -> str:
    """The conversion itself FAILED. `further` says where a person finds more."""
    return (
        f"License conversion FAILED: {known.label}, after the gate waited {duration(waited)}. {_more(known, further)} "
        f"License Manager says: {known.status_message or '(no StatusMessage)'}"
    )


def timed_out(known: Conversion, waited: timedelta, further: str, *, trouble: str, longer: str) -> str:
    """The wait ran out. A conversion that was seen to run goes on: License Manager has no cancel."""
    if known.runs:
        said = (
            f"The wait ran out, the conversion did not fail: {known.label} is still {known.status_word} after the gate waited "
            f"{duration(waited)}. The conversion itself goes on. {longer}."
        )
    elif not known.task_id:
        said = f"The wait ran out: in {duration(waited)} License Manager could not say which task is the newest of {known.label}."
    else:
        report = f"says {known.status_word}" if known.seen else "has said nothing"
        said = (
            f"The wait ran out after {duration(waited)}: License Manager {report} of {known.label}, so how the conversion "
            f"stands is not known. {longer}."
        )
    return f"{said} {_more(known, further)}" + (f" The last check said: {trouble}" if trouble else "")


def duration(span: timedelta) -> str:
    """`1 h 2 min 3 s`, without the parts that are nought."""
    seconds = max(0, int(span.total_seconds()))
    parts = ((seconds // 3600, "h"), (seconds % 3600 // 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def _more(known: Conversion, further: str) -> str:
    return f"For more: {known.command}{further}."
