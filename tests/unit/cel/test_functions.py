"""What the functions of all libraries answer: each expression is true, or fails with an error at work."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.environment import Environment
from apiserver.crdschema.cel.program import Clock
from apiserver.crdschema.cel.types import Type


class Nothing:
    """No objects."""

    def field_type(self, name: str, field: str) -> Type | None:
        return None


VARIABLES = {"any": types.DYN, "texts": types.list_of(types.STRING), "counts": types.map_of(types.STRING, types.INT)}
VALUES = {"any": {"a": 1, "b": {"c": "x"}}, "texts": ["x", "y"], "counts": {"a": 1}}


def run(expression: str) -> Any:
    program = Environment(VARIABLES, Nothing()).compile(expression).program()
    return program.run(VALUES, limit=1_000_000, clock=Clock(5))[0]


@pytest.mark.parametrize(
    "expression",
    [
        # numbers
        "1 < 1.5 && 2u > 1 && 3.0 >= 3u && -1 < 0u && 1 <= 1.0",
        "7 / 2 == 3 && -7 / 2 == -3 && 7 % -2 == 1 && -7 % 2 == -1",
        "1.0 / 0.0 > 1e300 && -(2) == -2 && 2u * 3u == 6u",
        "dyn(1) == 1.0 && dyn(1u) == 1 && dyn(1) != 'a' && !(dyn(1) == true)",
        "int(3.9) == 3 && int('-5') == -5 && int(timestamp('1970-01-01T00:01:00Z')) == 60 && uint(3) == 3u",
        "double('1e3') == 1000.0 && string(1.0) == '1' && string(1e6) == '1e+06' && string(0.1) == '0.1'",
        "string(-0.000001) == '-1e-06' && string(123456.75) == '123456.75' && string(true) == 'true'",
        "9223372036854775807 > 0 && -9223372036854775808 < 0 && 0xFF == 255 && 18446744073709551615u > 1u",
        # logic
        "(1 / 0 > 1 || true) && !(1 / 0 > 1 && false) && (true ? true : 1 / 0 > 1)",
        "[0, 1].exists(x, 1 / x == 1) && ![0, 1].all(x, 1 / x == 2)",
        "[1, 2, 3].exists_one(x, x > 2) && ![].exists_one(x, true) && [].all(x, false) && ![].exists(x, true)",
        "[1, 2, 3].filter(x, x > 1).map(x, x * 2) == [4, 6] && [1, 2].map(x, x > 1, x + 1) == [3]",
        "{'a': 1, 'b': 2}.all(k, k in ['a', 'b']) && 'a' in {'a': 1} && !(3 in [1, 2])",
        "[[1, 2], [3]].all(a, a.all(b, b in [1, 2, 3])) && [[1], [2]].map(a, a.map(a, a + 1)) == [[2], [3]]",
        "{1: 'a', 2: 'b'}[1] == 'a' && {true: 1}[true] == 1 && dyn({1: 2})[1.0] == 2",
        # strings
        "'tacocat'.charAt(3) == 'o' && 'abc'.charAt(3) == ''",
        "'hello'.indexOf('l') == 2 && 'hello'.indexOf('l', 3) == 3 && "
        "'hello'.indexOf('z') == -1 && 'a'.indexOf('') == 0",
        "'hello'.lastIndexOf('l') == 3 && 'hello'.lastIndexOf('l', 2) == 2 && 'hello'.lastIndexOf('') == 5",
        "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && texts.join(',') == 'x,y'",
        "'TacoCat'.lowerAscii() == 'tacocat' && 'Aé'.upperAscii() == 'Aé' && 'ab'.upperAscii() == 'AB'",
        "'hello hello'.replace('he', 'we', 1) == 'wello hello' && 'ab'.replace('', '_') == '_a_b_'",
        "'a b c'.split(' ') == ['a', 'b', 'c'] && "
        "'a b c'.split(' ', 2) == ['a', 'b c'] && 'ab'.split('') == ['a', 'b']",
        "'a b'.split(' ', 0) == [] && 'a b'.split(' ', 1) == ['a b'] && 'a b'.split(' ', -1) == ['a', 'b']",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'é1'.substring(1) == '1'",
        "'  \\ttrim\\n '.trim() == 'trim' && strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'",
        "'%s is %d, %.2f, %x, %b, %o, %e'.format(['a', 3, 1.5, 255, 5, 8, 1000.0]) == "
        "'a is 3, 1.50, ff, 101, 10, 1.000000e+03'",
        "'%s %s %s'.format([[1, 'a'], {'k': true}, duration('1m')]) == '[1, \"a\"] {\"k\": true} 60s'",
        "'100%%'.format([]) == '100%' && '%X'.format(['hi']) == '6869' && '%s'.format([null]) == 'null'",
        "'abc'.startsWith('a') && 'abc'.endsWith('c') && 'abc'.contains('b') && 'abc'.size() == 3 && size('é') == 1",
        "'abc'.matches('^a.c$') && matches('abc', 'b') && "
        "r'\\d' == '\\\\d' && '\\u00e9' == 'é' && b'\\303\\251' == b'é'",
        "'''a\n'b''' == \"a\\n'b\" && bytes('é') == b'é' && string(b'a') == 'a' && '\\x41\\101' == 'AA'",
        # lists, sets, regular expressions
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted()",
        "[1, 3].sum() == 4 && [1.5, 2.0].sum() == 3.5 && "
        "[1u].sum() == 1u && [duration('1m'), duration('1s')].sum() == duration('61s')",
        "[3, 1].min() == 1 && ['a', 'b'].max() == 'b' && [false, true].max() && [b'a', b'b'].min() == b'a'",
        "[timestamp('2020-01-01T00:00:00Z'), timestamp('2021-01-01T00:00:00Z')].max().getFullYear() == 2021",
        "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && "
        "['a'].indexOf('b') == -1 && [[1]].indexOf([1]) == 0",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && "
        "sets.intersects([1, 2], [2, 3]) && sets.contains([], [])",
        "!sets.contains(['a'], ['b']) && !sets.intersects([], [1]) && !sets.equivalent([1], [1, 2])",
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('z') == '' && 'a1b22'.findAll('[0-9]+') == ['1', '22']",
        "'123 abc 456'.findAll('[0-9]*') == ['123', '', '', '', '', '456'] && 'aaa'.findAll('a', 2) == ['a', 'a']",
        "'ab'.findAll('x*') == ['', '', ''] && 'axb'.findAll('x*') == ['', 'x', ''] && 'éx'.findAll('.', 0) == []",
        # URLs
        "isURL('https://a.b/c') && isURL('/a') && !isURL('a') && !isURL('') && isURL('a:b') && !isURL('http://[::1') ",
        "url('https://u:p@example.com:80/a%2Fb?k=v&k=w').getHost() == 'example.com:80'",
        "url('https://[::1]:80/').getHostname() == '::1' && url('https://a:80/').getPort() == '80'",
        "url('HTTPS://a/').getScheme() == 'https' && url('/a').getScheme() == '' && url('/a').getPort() == ''",
        "url('https://a/p%2Fq r').getEscapedPath() == '/p%2Fq%20r' || url('https://a/p').getEscapedPath() == '/p'",
        "url('https://a/?k=v&k=w&e').getQuery() == {'k': ['v', 'w'], 'e': ['']} && url('/a') == url('/a')",
        # addresses
        "isIP('10.0.0.1') && isIP('::1') && !isIP('010.0.0.1') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
        "ip('127.0.0.1').family() == 4 && ip('::1').family() == 6 && ip('10.0.0.1') == ip('10.0.0.1')",
        "ip.isCanonical('127.0.0.1') && ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')",
        "ip('0.0.0.0').isUnspecified() && ip('127.3.2.1').isLoopback() && ip('::1').isLoopback()",
        "ip('224.0.0.1').isLinkLocalMulticast() && "
        "!ip('224.0.1.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()",
        "ip('169.254.1.1').isLinkLocalUnicast() && "
        "ip('fe80::1').isLinkLocalUnicast() && ip('10.0.0.1').isGlobalUnicast()",
        "ip('fd00::1').isGlobalUnicast() && "
        "!ip('255.255.255.255').isGlobalUnicast() && !ip('ff00::1').isGlobalUnicast()",
        "isCIDR('10.0.0.0/8') && isCIDR('10.0.0.1/8') && "
        "!isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/08')",
        "cidr('192.168.0.0/24').containsIP('192.168.0.1') && !cidr('192.168.0.0/24').containsIP(ip('192.168.1.1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
        "!cidr('10.0.0.0/8').containsIP('::a') && cidr('::/0').containsCIDR('2001:db8::/32')",
        "cidr('192.168.1.5/24').ip() == ip('192.168.1.5') && cidr('192.168.1.5/24').masked() == cidr('192.168.1.0/24')",
        "cidr('10.0.0.0/8').prefixLength() == 8 && "
        "string(ip('::1')) == '::1' && string(cidr('10.0.0.0/8')) == '10.0.0.0/8'",
        "type(ip('::1')) == net.IP && type(cidr('::/0')) == net.CIDR",
        # quantities
        "isQuantity('1.5Gi') && isQuantity('1e3') && !isQuantity('1Gx') && !isQuantity('') && !isQuantity('1 Gi')",
        "quantity('1Ki') == quantity('1024') && quantity('1500m') == quantity('1.5') && quantity('1k').isInteger()",
        "quantity('50k').add(20).sub(quantity('100k')).sub(-50000).asInteger() == 20 && quantity('-1').sign() == -1",
        "quantity('1.5').asApproximateFloat() == 1.5 && !quantity('1.5').isInteger() && quantity('0').sign() == 0",
        "quantity('50Mi').isGreaterThan(quantity('50M')) && quantity('50M').isLessThan(quantity('50Mi'))",
        "quantity('200M').compareTo(quantity('0.2G')) == 0 && quantity('1').compareTo(quantity('2')) == -1",
        # formats
        "!format.dns1123Label().validate('my-label').hasValue() && format.dns1123Label().validate('My').hasValue()",
        "format.named('dns1123Subdomain').value().validate('a.b') == optional.none() && "
        "!format.named('nope').hasValue()",
        "!format.dns1035Label().validate('a1').hasValue() && format.dns1035Label().validate('1a').value().size() == 1",
        "!format.qualifiedName().validate('a.b/c').hasValue() && format.qualifiedName().validate('a/b/c').hasValue()",
        "!format.dns1123LabelPrefix().validate('a-').hasValue() && "
        "!format.dns1123SubdomainPrefix().validate('a.b-').hasValue()",
        "!format.dns1035LabelPrefix().validate('a-').hasValue() && !format.labelValue().validate('').hasValue()",
        "!format.uri().validate('http://a').hasValue() && "
        "format.uri().validate('a').value()[0].contains('invalid URI')",
        "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue() && "
        "format.uuid().validate('x').hasValue()",
        "!format.byte().validate('aGVsbG8=').hasValue() && format.byte().validate('!').value() == ['invalid base64']",
        "!format.date().validate('2021-01-01').hasValue() && "
        "format.datetime().validate('x').value() == ['invalid datetime']",
        # times
        "timestamp('2023-05-06T07:08:09.123Z').getMilliseconds() == 123 && "
        "timestamp('2023-05-06T07:08:09Z').getDayOfWeek() == 6",
        "timestamp('2023-05-06T07:08:09Z').getMonth() == 4 && timestamp('2023-05-06T07:08:09Z').getDate() == 6",
        "timestamp('2023-05-06T07:08:09Z').getDayOfMonth() == 5 && "
        "timestamp('2023-05-06T07:08:09Z').getDayOfYear() == 125",
        "timestamp('2023-05-06T07:08:09Z').getHours('+02:00') == 9 && "
        "timestamp('2023-05-06T07:08:09+02:00').getHours() == 5",
        "timestamp('2023-05-06T07:08:09Z') + duration('1h') > timestamp('2023-05-06T08:08:08Z')",
        "timestamp('2023-01-02T00:00:00Z') - timestamp('2023-01-01T00:00:00Z') == duration('24h')",
        "duration('1h30m').getMinutes() == 90 && "
        "duration('1.5s').getMilliseconds() == 1500 && duration('-1h') < duration('0')",
        "string(timestamp('2023-05-06T07:08:09.5+02:00')) == '2023-05-06T05:08:09.5Z' && "
        "string(duration('1m1.5s')) == '61.5s'",
        # optional values
        "any.?a.orValue(0) == 1 && any.?z.orValue(7) == 7 && any.?b.?c.value() == 'x' && !any.?z.?c.hasValue()",
        "counts[?'a'].orValue(0) == 1 && texts[?9].orValue('none') == 'none' && texts[?0].value() == 'x'",
        "optional.of(1).or(optional.of(2)).value() == 1 && optional.none().or(optional.of(2)).value() == 2",
        "!optional.ofNonZeroValue('').hasValue() && "
        "optional.ofNonZeroValue('a').hasValue() && !optional.ofNonZeroValue([]).hasValue()",
        "optional.of(2).optMap(x, x * 2).value() == 4 && !optional.none().optMap(x, x).hasValue()",
        "optional.of('a').optFlatMap(x, optional.none()) == optional.none() && optional.of(1) == optional.of(1)",
        "[?counts[?'a'], ?counts[?'z'], 3] == [1, 3] && {?'a': counts[?'a'], ?'z': counts[?'z']} == {'a': 1}",
        "optional.of({'a': {'b': 1}}).a.b.value() == 1 && optional.of([1, 2])[1].value() == 2",
        # types
        "type(1) == int && type('') == string && type([]) == list && type({}) == map && type(null) == null_type",
        "type(1.5) == double && type(1u) == uint && type(true) == bool && type(b'') == bytes && type(int) == type",
        "type(duration('1s')) == google.protobuf.Duration && "
        "type(optional.none()) == optional_type && type(any.a) == int",
        "has(any.a) && !has(any.z) && has(any.b.c) && has({'a': 1}.a)",
    ],
)
def test_true(expression: str) -> None:
    assert run(expression) is True


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("1 / (1 - 1) == 1", "division by zero"),
        ("1 % (1 - 1) == 1", "modulus by zero"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("0u - 1u > 0u", "unsigned integer overflow"),
        ("any.z == 1", "no such key: z"),
        ("any['z'] == 1", "no such key: z"),
        ("texts[2] == 'a'", "index out of bounds: 2"),
        ("any.a + 'x' == 'y'", "no such overload"),
        ("any.a.b == 'y'", "no such overload"),
        ("any.a > 'x'", "no such overload"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("texts.filter(t, t == 'z').min() == 'a'", "min called on empty list"),
        ("'abc'.charAt(4) == ''", "index out of range: 4"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"),
        (
            "url(texts[0]).getHost() == ''",
            'URL parse error during conversion from string: parse "x": invalid URI for request',
        ),
        (
            "ip(texts[0]).family() == 4",
            'IP Address "x" parse error during conversion from string: ParseAddr("x"): unable to parse IP',
        ),
        (
            "cidr(texts[0]).prefixLength() == 4",
            "network address parse error during conversion from string: "
            "network address parse error during conversion from string: netip.ParsePrefix(\"x\"): no '/'",
        ),
        (
            "quantity(texts[0]).sign() == 1",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("quantity('1.5').asInteger() == 1", "cannot convert value to integer"),
        ("int(texts[0]) == 1", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("duration(texts[0]) == duration('1s')", 'time: invalid duration "x"'),
    ],
)
def test_what_fails_at_work(expression: str, why: str) -> None:
    assert str(run(expression)) == why
