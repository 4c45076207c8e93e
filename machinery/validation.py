"""Check names, labels and values by upstream's rules (apimachinery ``util/validation``), with v1.32's messages.

Each function ``is_…`` returns a list of messages about what is wrong; it is empty if the value is valid. (The names are
upstream's.)
"""

from __future__ import annotations

import ipaddress
import re
import socket

DNS1123_LABEL_MAX = 63
DNS1123_SUBDOMAIN_MAX = 253

_DNS1123_LABEL = re.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS1123_SUBDOMAIN = re.compile(rf"{_DNS1123_LABEL.pattern}(\.{_DNS1123_LABEL.pattern})*")
_DNS1035_LABEL = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED_NAME = re.compile("([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(f"({_QUALIFIED_NAME.pattern})?")
_CONFIG_MAP_KEY = re.compile("[-._a-zA-Z0-9]+")
_HTTP_HEADER = re.compile("[-A-Za-z0-9]+")

# Finalizers whose names have no domain.
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_QUALIFIED_NAME_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_QUALIFIED_NAME_EXAMPLES = ("MyName", "my.name", "123-abc")


def max_length(length: int) -> str:
    return f"must be no more than {length} characters"


def in_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


EMPTY = "must be non-empty"


def regex_error(rule: str, pattern: re.Pattern[str], *examples: str) -> str:
    """Return upstream's message about a value that does not match a pattern."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{pattern.pattern}')"


def _check(value: str, longest: int, pattern: re.Pattern[str], rule: str, *examples: str) -> list[str]:
    errors = [max_length(longest)] if len(value) > longest else []
    if not pattern.fullmatch(value):
        errors.append(regex_error(rule, pattern, *examples))
    return errors


def is_dns1123_label(value: str) -> list[str]:
    """Check the name of a namespace or a container."""
    errors = []
    if len(value) > DNS1123_LABEL_MAX:
        errors.append(max_length(DNS1123_LABEL_MAX))
    if not _DNS1123_LABEL.fullmatch(value):
        if _DNS1123_SUBDOMAIN.fullmatch(value):
            errors.append("must not contain dots")
        else:
            rule = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                "and must start and end with an alphanumeric character"
            )
            errors.append(regex_error(rule, _DNS1123_LABEL, "my-name", "123-abc"))
    return errors


def is_dns1123_subdomain(value: str) -> list[str]:
    """Check the name of an object of most kinds."""
    rule = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
        "and must start and end with an alphanumeric character"
    )
    return _check(value, DNS1123_SUBDOMAIN_MAX, _DNS1123_SUBDOMAIN, rule, "example.com")


def is_dns1035_label(value: str) -> list[str]:
    """Check the name of a Service."""
    rule = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
        "start with an alphabetic character, and end with an alphanumeric character"
    )
    return _check(value, DNS1123_LABEL_MAX, _DNS1035_LABEL, rule, "my-name", "abc-123")


def is_qualified_name(value: str) -> list[str]:
    """Check the key of a label or annotation: a name, with an optional DNS subdomain and a slash before it."""
    prefix, slash, name = value.rpartition("/")
    has_good_prefix = not slash or (len(prefix) <= DNS1123_SUBDOMAIN_MAX and _DNS1123_SUBDOMAIN.fullmatch(prefix))
    if has_good_prefix and len(name) <= DNS1123_LABEL_MAX and _QUALIFIED_NAME.fullmatch(name):
        return []
    parts = value.split("/")
    if len(parts) > 2:
        rule = f"a qualified name {_QUALIFIED_NAME_RULE}"
        sentence = regex_error(rule, _QUALIFIED_NAME, *_QUALIFIED_NAME_EXAMPLES)
        return [f"{sentence} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    errors = []
    if len(parts) == 2:
        prefix = parts[0]
        if not prefix:
            errors.append(f"prefix part {EMPTY}")
        else:
            errors += [f"prefix part {error}" for error in is_dns1123_subdomain(prefix)]
    name = parts[-1]
    if not name:
        errors.append(f"name part {EMPTY}")
    elif len(name) > DNS1123_LABEL_MAX:
        errors.append(f"name part {max_length(DNS1123_LABEL_MAX)}")
    if not _QUALIFIED_NAME.fullmatch(name):
        errors.append("name part " + regex_error(_QUALIFIED_NAME_RULE, _QUALIFIED_NAME, *_QUALIFIED_NAME_EXAMPLES))
    return errors


def finalizer_has_owner(name: str) -> bool:
    """Return whether a finalizer's name has a domain, or is one of Kubernetes' own."""
    return "/" in name or name in _STANDARD_FINALIZERS


def is_finalizer_name(value: str) -> list[str]:
    errors = is_qualified_name(value)
    if not finalizer_has_owner(value):
        errors.append("name is neither a standard finalizer name nor is it fully qualified")
    return errors


def is_label_value(value: str) -> list[str]:
    rule = (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
        "and must start and end with an alphanumeric character"
    )
    return _check(value, DNS1123_LABEL_MAX, _LABEL_VALUE, rule, "MyValue", "my_value", "12345")


def is_path_segment_name(value: str) -> list[str]:
    """Check a name that may be anything that fits between two slashes of a path, as the names of roles."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{part}'" for part in "/%" if part in value]


def is_port_number(port: int) -> list[str]:
    return [] if 1 <= port <= 65535 else [in_range(1, 65535)]


def is_port_name(name: str) -> list[str]:
    """Check the name of a port: an IANA service name in lower case."""
    errors = []
    if len(name) > 15:
        errors.append(max_length(15))
    if not re.fullmatch("[-a-z0-9]+", name):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        errors.append("must contain at least one letter (a-z)")
    if "--" in name:
        errors.append("must not contain consecutive hyphens")
    if name and (name[0] == "-" or name[-1] == "-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def is_env_var_name(name: str) -> list[str]:
    """Check the name of an environment variable, by the relaxed rule that is v1.32's default."""
    errors = []
    if not name:
        errors.append(f"environment variable name {EMPTY}")
    if any(not " " <= char <= "~" or char == "=" for char in name):
        errors.append(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
    return errors


def is_config_map_key(value: str) -> list[str]:
    """Check a key of a ConfigMap or Secret, which must be usable as the name of a file."""
    rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    errors = _check(value, DNS1123_SUBDOMAIN_MAX, _CONFIG_MAP_KEY, rule, "key.name", "KEY_NAME", "key-name")
    if value in (".", ".."):
        errors.append(f"must not be '{value}'")
    elif value.startswith(".."):
        errors.append("must not start with '..'")
    return errors


def is_http_header_name(value: str) -> list[str]:
    rule = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [] if _HTTP_HEADER.fullmatch(value) else [regex_error(rule, _HTTP_HEADER, "X-Header-Name")]


IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_ip(text: str) -> IpAddress:
    """Parse an IP address as upstream's ``ParseIPSloppy`` does. Raises ValueError.

    Octets may have leading zeros, and are decimal all the same; an address with a zone is none.
    """
    try:  # The C library reads what has no leading zeros, which is ten times as fast.
        if ":" in text:
            return ipaddress.IPv6Address(socket.inet_pton(socket.AF_INET6, text))
        return ipaddress.IPv4Address(socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        return _parse_sloppy_ip(text)


def _parse_sloppy_ip(text: str) -> IpAddress:
    head, colon, octets = text.rpartition(":")
    if "." in octets:
        octets = ".".join(octet and (octet.lstrip("0") or "0") for octet in octets.split("."))
    if "%" in text:
        raise ValueError(f"{text!r} has a zone")
    return ipaddress.ip_address(head + colon + octets)


def is_ip(value: str) -> list[str]:
    try:
        parse_ip(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def is_cidr(value: str) -> list[str]:
    try:
        address, _, bits = value.partition("/")
        longest = parse_ip(address).max_prefixlen
        if not (bits.isascii() and bits.isdigit()) or int(bits.lstrip("0")[:4] or "0") > longest:
            raise ValueError(value)
    except ValueError:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    return []
