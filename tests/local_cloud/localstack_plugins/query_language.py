"""JSONata in LocalStack's Step Functions, without the Java program that evaluates it there, and as AWS has it where LocalStack
differs:

- variables are bound, where LocalStack writes them into the text of each expression, and a string with a quotation mark breaks it
- an expression that fails, or a Condition that is no boolean, is a States.QueryEvaluationError
- `$states.result` and `$states.errorOutput` are undefined before there is one
- variables in the history are JSON
- States.ALL leaves States.DataLimitExceeded and States.Runtime alone
- Arguments are measured
"""

import json
from copy import deepcopy
from importlib import import_module
from typing import Any

from tests.simulation.expressions import Expression, QueryEvaluationError, Surroundings, expression
from tests.simulation.interpreter import NOT_ALL

_ASL = "localstack.services.stepfunctions.asl"


def evaluate_here() -> None:
    """Once, when the service is loaded."""
    evaluation = _module("component.common.string.string_expression")
    evaluation.StringJSONata._eval_body = _evaluate
    _module("jsonata.jsonata")._eval_jsonata = lambda text: Expression(text).evaluate(Surroundings())
    _module("component.state.state_choice.comparison.comparison").ConditionStringJSONata._eval_body = _hold
    _module("eval.states").States.reset = _reset
    _module("eval.variable_store").VariableStore.get_assigned_variables = _assigned_variables
    error_equals = _module("component.common.error_name.error_equals_decl").ErrorEqualsDecl
    error_equals._eval_body = _leave_some_alone(error_equals._eval_body)
    task = _module("component.state.state_execution.state_task.service.state_task_service").StateTaskService
    task._eval_parameters = _measured(task._eval_parameters)


def _module(name: str) -> Any:
    return import_module(f"{_ASL}.{name}")


def _evaluate(self: Any, env: Any) -> None:
    surroundings = Surroundings()
    for name, value in {**env.variable_store._outer_scope, **env.variable_store._inner_scope}.items():
        surroundings.bind(name, value)
    # JSON first: an SDK's result has points in time, of which JSONata knows nothing.
    surroundings.bind("states", json.loads(_module("utils.encoding").to_json_str(env.states._states_data)))
    try:
        env.stack.append(deepcopy(expression(self.expression.strip()).evaluate(surroundings)))
    except QueryEvaluationError as error:
        raise _failure(env, str(error)) from error


def _hold(self: Any, env: Any) -> None:
    self.string_jsonata.eval(env=env)
    if not isinstance(env.stack[-1], bool):
        raise _failure(env, f"The JSONata expression '{self.string_jsonata.expression}' returned no boolean.")


def _failure(env: Any, cause: str) -> Exception:
    """As `asl.jsonata.validations` makes it."""
    failure_event = _module("component.common.error_name.failure_event")
    name = _module("component.common.error_name.states_error_name")
    kind = _module("component.common.error_name.states_error_name_type").StatesErrorNameType.StatesQueryEvaluationError
    details = {"error": kind.to_name(), "cause": cause}
    event_details = _module("eval.event.event_detail").EventDetails
    failure: Exception = failure_event.FailureEventException(
        failure_event.FailureEvent(
            env=env,
            error_name=name.StatesErrorName(typ=kind),
            event_type="EvaluationFailed",
            event_details=event_details(evaluationFailedEventDetails=details),
        )
    )
    decorated = failure.get_evaluation_failed_event_details()  # type: ignore[attr-defined]
    env.event_manager.add_event(
        context=env.event_history_context,
        event_type="EvaluationFailed",
        event_details=event_details(evaluationFailedEventDetails=decorated),
    )
    return failure


def _reset(self: Any, input_value: Any) -> None:
    self._states_data["input"] = deepcopy(input_value)
    for name in ("result", "errorOutput"):
        self._states_data.pop(name, None)


def _assigned_variables(self: Any) -> dict[str, str]:
    to_json_str = _module("utils.encoding").to_json_str
    return {name: to_json_str(self.get(name), separators=(",", ":")) for name in self._declaration_tracing}


def _leave_some_alone(original: Any) -> Any:
    def matches(self: Any, env: Any) -> None:
        error = env.stack[-1]
        original(self, env)
        if error is not None and error.error_name in NOT_ALL:
            env.stack[-1] = error in self.error_names

    return matches


def _measured(original: Any) -> Any:
    def eval_parameters(self: Any, env: Any) -> Any:
        parameters = original(self, env)
        self._verify_size_quota(env, parameters)
        return parameters

    return eval_parameters
