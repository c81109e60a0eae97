"""One field of a client's JSON, checked: what is wrong with it, and what would do."""

from typing import Any, Final

from jarvis_trio.errors import RequestError

_NAMES: Final = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def fault(param: str, rule: str) -> RequestError:
    """Return the error for a field at fault; ``rule`` says what the field must be."""
    return RequestError(f"{param} {rule}", param=param)


def string(fields: dict[str, Any], key: str, param: str) -> str | None:
    """Return the string at ``key``, None when absent or null. Errors: RequestError."""
    value = fields.get(key)
    if value is None or type(value) is str:
        return value
    raise wrong_type(param, str, value)


def boolean(fields: dict[str, Any], key: str, param: str) -> bool:
    """Return the truth at ``key``, False when absent or null. Errors: RequestError."""
    value = fields.get(key)
    if value is None:
        return False
    if type(value) is bool:
        return value
    raise wrong_type(param, bool, value)


def mapping(fields: dict[str, Any], key: str, param: str) -> dict[str, Any] | None:
    """Return the object at ``key``, None when absent or null. Errors: RequestError."""
    value = fields.get(key)
    if value is None or type(value) is dict:
        return value
    raise wrong_type(param, dict, value)


def sequence(fields: dict[str, Any], key: str, param: str) -> list[Any] | None:
    """Return the list at ``key``, None when absent or null. Errors: RequestError."""
    value = fields.get(key)
    if value is None or type(value) is list:
        return value
    raise wrong_type(param, list, value)


def integer(fields: dict[str, Any], key: str, *, least: int, most: int) -> int | None:
    """Return the whole number at ``key``, None when absent or null. Errors: RequestError.

    JSON has one kind of number: 5.0 is whole too.
    """
    value = fields.get(key)
    if value is None:
        return None
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise wrong_type(key, int, value)
    if not least <= value <= most:
        raise fault(key, f"must be from {least} to {most}")
    return value


def number(fields: dict[str, Any], key: str, *, most: float) -> float | None:
    """Return the number at ``key``, None when absent or null. Errors: RequestError."""
    value = fields.get(key)
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise wrong_type(key, float, value)
    if not 0 <= value <= most:
        raise fault(key, f"must be from 0 to {most:g}")
    return float(value)


def wrong_type(param: str, wanted: type, value: object) -> RequestError:
    """Return the error for a value of another type than ``wanted``."""
    got = "null" if value is None else _NAMES[type(value)]
    return fault(param, f"must be {_NAMES[wanted]}, but it is {got}")
