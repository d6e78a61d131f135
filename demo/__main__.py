"""``make demo`` and ``make local``: ``python -m demo show`` shows the gate, ``up`` keeps the cloud for you."""

import signal
import sys
from types import FrameType

_LEAVE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BY_A_SIGNAL = 128


def main(command: str) -> None:
    """Return when all went well; raise SystemExit with 1 and a sentence, or 128 and the signal, when it did not."""
    # Not at the top: a Ctrl-C is to find the handlers in place, and these take half a second to load.
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    from demo import scenes, up  # noqa: PLC0415
    from demo.screen import Screen  # noqa: PLC0415

    try:
        (scenes if command == "show" else up).run(Screen())
    except (RuntimeError, OSError, BotoCoreError, ClientError) as error:  # TimeoutError is an OSError
        sys.exit(f"\nThis did not work. {error}")


def _leave(number: int, _: FrameType | None) -> None:
    """Unwind every ``with`` block, and let no second Ctrl-C cut that short."""
    for each in _LEAVE:
        signal.signal(each, signal.SIG_IGN)
    print("\nStopping ...", file=sys.stderr)
    raise SystemExit(_BY_A_SIGNAL + number)


if __name__ == "__main__":
    for each in _LEAVE:
        signal.signal(each, _leave)
    main(sys.argv[1])
