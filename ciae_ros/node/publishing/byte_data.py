# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Messages with large data."""

from __future__ import annotations

from array import array
from typing import Any, TypeVar

Message = TypeVar("Message")


def message_with_data(kind: type[Message], data: array[int], **fields: Any) -> Message:
    """Return a message whose data are an array of bytes itself; the constructor would copy it.

    Args:
        kind: class of the message, which has a field `data` of bytes.
        data: the bytes; other types than an array of "B" would be converted element by element.
        fields: the other fields.
    """
    # Since Jazzy, only messages that check their fields take an array as it is.
    create: Any = kind
    checks = {"check_fields": True} if "_check_fields" in create.__slots__ else {}
    message = create(**fields, **checks)
    message.data = data
    return message
