"""What LocalStack's process lets the tests' own use as if it was theirs: Python objects, over a connection on loopback."""

from multiprocessing.managers import BaseManager

HOST = "127.0.0.1"


class Inside(BaseManager):
    """`receiver`: where the presigned URLs lead. `gatekeeper`: judges calls that are not made to LocalStack. `tables_are_away`:
    an event; while it is set, DynamoDB answers every call with a fault of its own.
    """


def connected(port: int, key: str) -> Inside:
    for name in ("receiver", "gatekeeper", "tables_are_away"):
        Inside.register(name)
    inside = Inside((HOST, port), key.encode())
    inside.connect()
    return inside
