"""Arms with policies in the Python form: their data and what acts on them, apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators.usercode import UserFunction
from winnow.dags.recipe.inline_policies import KEYS, arms_unknown


def split_arms(arms: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(label -> data, label -> policy) of arms; data may be another arm's label.

    Raises:
        ConfigError: an arm has neither data nor a policy, a key that arms have not, or data that are no arm's.
    """
    data: dict[str, Any] = {}
    policies: dict[str, Any] = {}
    for label, arm in arms.items():
        if not isinstance(arm, Mapping):
            data[label] = arm
            continue
        for key in [*arms_unknown(arm), *(key for key in KEYS if key not in arm)]:
            what = f"an arm has no {key!r}" if key in arm else f"arm {label!r} has no {key}"
            raise ConfigError(what, where=f"arms.{label}", hint='{"data": rows, "policy": {"use": "lin_upper"}}')
        data[label], policies[label] = arm["data"], arm["policy"]
    plain = [label for label, arm in data.items() if not isinstance(arm, str)]
    for label, arm in data.items():
        if isinstance(arm, str) and arm not in plain:
            raise ConfigError(f"the data of {label!r} are {arm!r}, which is no arm", where=f"arms.{label}.data",
                              hint=did_you_mean(arm, plain))  # fmt: skip
    return data, policies


def said_in_python(said: Any) -> tuple[str | UserFunction, dict[str, Any]]:
    """(operator or function, its fields) of a policy.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(said, UserFunction):
        said = {"use": said}
    use = said.get("use") if isinstance(said, Mapping) else None
    if not isinstance(use, str | UserFunction) or (isinstance(use, UserFunction) and use.kind != "policy"):
        raise ConfigError(
            f"{said!r} is no policy", where="policy", hint='{"use": "lin_upper"}, or a `@w.policy` function'
        )
    return use, {key: value for key, value in said.items() if key != "use"}
