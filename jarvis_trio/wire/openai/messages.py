"""The messages of a client's conversation, checked one by one.

The format is OpenAI's: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Any, Final, Literal, get_args

from jarvis_trio.events import Message, ToolCall
from jarvis_trio.wire.openai.fields import fault, mapping, sequence, string, wrong_type

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]

STANDS_FOR_CONTENT: Final = ("tool_calls", "function_call", "refusal", "audio")
"""What an assistant's message may have in place of content."""

MAX_MESSAGES: Final = 4096
"""More than any model can attend to; each costs time here, and again in the upstream's template."""

_ROLES: Final[tuple[str, ...]] = get_args(Role)


def decode_messages(sent: list[Any]) -> tuple[Message, ...]:
    """Return the conversation, each message with the client's own object in ``sent``.

    ``text`` joins the text parts as they are. Parts of other types than ``text`` and
    ``image_url`` are not read, only kept in ``sent``.

    Errors: RequestError, its ``param`` a path such as ``messages[2].content[0].text``.
    """
    if not sent:
        raise fault("messages", "must hold at least one message")
    if len(sent) > MAX_MESSAGES:
        raise fault(
            "messages", f"must hold at most {MAX_MESSAGES} messages, but it holds {len(sent)}"
        )
    return tuple([_message(value, f"messages[{index}]") for index, value in enumerate(sent)])


def _message(value: Any, path: str) -> Message:
    if type(value) is not dict:
        raise wrong_type(path, dict, value)
    role = string(value, "role", f"{path}.role")
    if role not in _ROLES:
        raise fault(f"{path}.role", f"must be one of {', '.join(_ROLES)}")
    content = value.get("content")
    images: tuple[str, ...] = ()
    if type(content) is str:
        text = content
    elif type(content) is list:
        text, images = _parts(content, f"{path}.content")
    elif content is None and role == "assistant" and any(map(value.get, STANDS_FOR_CONTENT)):
        text = ""
    else:
        raise fault(
            f"{path}.content",
            "must be a string or a list of parts (only an assistant's message with tool_calls "
            "may do without)",
        )
    return Message(
        role=role,
        text=text,
        images=images,
        tool_calls=_tool_calls(value, path),
        tool_call_id=string(value, "tool_call_id", f"{path}.tool_call_id"),
        name=string(value, "name", f"{path}.name"),
        sent=value,
    )


def _parts(parts: list[Any], path: str) -> tuple[str, tuple[str, ...]]:
    texts: list[str] = []
    images: list[str] = []
    for index, part in enumerate(parts):
        where = f"{path}[{index}]"
        if type(part) is not dict:
            raise wrong_type(where, dict, part)
        kind = _required(part, "type", where)
        if kind == "text":
            texts.append(_required(part, "text", where))
        elif kind == "image_url":
            images.append(_image_url(part, where))
    return "".join(texts), tuple(images)


def _image_url(part: dict[str, Any], path: str) -> str:
    value = part.get("image_url")
    if type(value) is dict:
        return _required(value, "url", f"{path}.image_url")
    return _required(part, "image_url", path)


def _tool_calls(message: dict[str, Any], path: str) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for index, call in enumerate(sequence(message, "tool_calls", f"{path}.tool_calls") or ()):
        where = f"{path}.tool_calls[{index}]"
        if type(call) is not dict:
            raise wrong_type(where, dict, call)
        function = mapping(call, "function", f"{where}.function")
        if function is None:
            if string(call, "type", f"{where}.type") in {None, "function"}:
                raise fault(f"{where}.function", "must be an object with name and arguments")
            continue
        arguments = string(function, "arguments", f"{where}.function.arguments")
        calls.append(
            ToolCall(
                index=index,
                id=string(call, "id", f"{where}.id"),
                name=_required(function, "name", f"{where}.function"),
                arguments=arguments or "",
            )
        )
    return tuple(calls)


def _required(fields: dict[str, Any], key: str, path: str) -> str:
    value = fields.get(key)
    if type(value) is not str:
        raise wrong_type(f"{path}.{key}", str, value)
    return value
