"""The policy engine as one long-lived process: questions go in and answers come out as lines, many at once."""

import itertools
import json
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

_SECONDS = 30


class Engine:
    """Runs while its ``with`` block lasts, and ends with the process that started it: its standard input closes."""

    def __init__(self, node: str, modules: Path) -> None:
        """``node`` is the program, ``modules`` the folder that has node_modules."""
        self._process = subprocess.Popen(
            [node, str(Path(__file__).with_name("engine.mjs")), str(modules)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        threading.Thread(target=self._read, name="iam-engine", daemon=True).start()
        self.describe = lru_cache(maxsize=None)(self._describe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _describe(self, action: str) -> dict[str, Any] | None:
        """``{resourceTypes, conditionKeys, wildcardOnly}`` of an action such as ``lambda:Invoke``; None: IAM has none."""
        described: dict[str, Any] | None = self._ask({"describe": action})["described"]
        return described

    def simulate(self, simulation: Mapping[str, Any]) -> dict[str, Any]:
        """``{allowed, by}``, and ``{denied, explicit}`` when it is not (see engine.mjs).

        Raise ValueError where the simulation itself makes no sense to the engine.
        """
        answer = self._ask({"simulate": simulation})
        if "error" in answer:
            raise ValueError(f"The policy engine refuses {simulation['request']}: {answer['error']}")
        return answer

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        number, answer = next(self._ids), Future[dict[str, Any]]()
        self._waiting[number] = answer
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"id": number, **question}) + "\n")
            self._process.stdin.flush()
        return answer.result(_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self._waiting.pop(answer["id"]).set_result(answer)
        for waiting in self._waiting.values():
            waiting.set_exception(RuntimeError("The policy engine has ended"))
