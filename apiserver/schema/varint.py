"""The encoding of protobuf below its messages: numbers, lengths, and what is skipped.

Errors have the words of upstream's generated Go code.
"""

from __future__ import annotations

from collections.abc import Mapping

VARINT, FIXED64, BYTES, _GROUP, END_GROUP, _FIXED32 = range(6)  # wire types


class MalformedMessageError(ValueError):
    """A message that cannot be read."""


def varint(number: int) -> bytes:
    """Return a number in base 128; a negative one as 64 bits of two's complement."""
    if 0 <= number < 128:
        return _SHORT[number]
    number &= 0xFFFFFFFFFFFFFFFF
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


_SHORT = [bytes((number,)) for number in range(128)]


def append(parts: list[bytes], tag: bytes, value: bytes) -> None:
    """Append a field that has a length."""
    length = len(value)
    parts += (tag, _SHORT[length] if length < 128 else varint(length), value)


def read_varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a number and where it ends. Raises MalformedMessageError, as do the other functions here."""
    shift = number = 0
    while position < end:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift > 63:
            raise MalformedMessageError("proto: integer overflow")
    raise MalformedMessageError("unexpected EOF")


def read_length(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return where the value of a field with a length begins, and where it ends."""
    length, begin = read_varint(data, position, end)
    if begin + length > end:
        raise too_long(length)
    return begin, begin + length


def too_long(length: int) -> MalformedMessageError:
    """Return the error of a length that leads behind the end, which for Go is negative from 2⁶³ on."""
    return MalformedMessageError(
        "proto: negative length found during unmarshaling" if length >> 63 else "unexpected EOF"
    )


def within(position: int, end: int) -> int:
    """Return the position if it is not behind the end."""
    if position > end:
        raise MalformedMessageError("unexpected EOF")
    return position


def skip(message: str, fields: Mapping[int, str], tag: int, data: bytes, position: int, end: int) -> int:
    """Return where a field ends that a message does not have; ``fields`` are those that it has, by number.

    A group, which Kubernetes has none of, may contain others.
    """
    number, wire_type = tag >> 3 & 0xFFFFFFFF, tag & 7
    if wire_type == END_GROUP:
        raise MalformedMessageError(f"proto: {message}: wiretype end group for non-group")
    if not 0 < number < 1 << 31:
        raise MalformedMessageError(f"proto: {message}: illegal tag {number} (wire type {wire_type})")
    if (name := fields.get(number)) is not None:
        raise MalformedMessageError(f"proto: wrong wireType = {wire_type} for field {name[:1].upper()}{name[1:]}")
    depth = 0
    while True:
        match wire_type:
            case 0:
                position = read_varint(data, position, end)[1]
            case 1:
                position = within(position + 8, end)
            case 2:
                position = read_length(data, position, end)[1]
            case 3:
                depth += 1
            case 4:
                depth -= 1
            case 5:
                position = within(position + 4, end)
            case _:
                raise MalformedMessageError(f"proto: illegal wireType {wire_type}")
        if depth == 0:
            return position
        tag, position = read_varint(data, position, end)
        wire_type = tag & 7
