"""Requests that hardly anyone would write: sentences of a loose grammar, and good requests with damage.

Mutation N of a seed is always the same. Every one carries the key, unless damage took it.
"""

import random

from must_reject import probes
from stand import KEY

KEY_LINE = f"X-API-Key: {KEY}\r\n".encode()
METHODS = [b"GET"] * 6 + [b"POST"] * 6 + [b"PUT", b"HEAD", b"DELETE", b"PATCH", b"OPTIONS", b"FOOBAR", b"get", b"CONNECT", b""]
TARGETS = [b"/x", b"/", b"/a/b?c=d", b"/x?", b"//x", b"/../x", b"/%2e%2e/x", b"/x%00", b"http://a.test/x", b"http://a.test",
           b"http://b.test/x", b"*", b"x", b"/x#y", b"/\xc3\xa9", b"/x y", b"/\\x", b"/" + b"l" * 300, b"a.test:80", b"?x"]
VERSIONS = [b"HTTP/1.1"] * 12 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b""]
FIELDS = [b"Accept: */*", b"A: b", b"A:b", b"A: \tb\t ", b"A:", b"A : b", b" A: b", b"A\tB: c", b": b", b"A", b"A: \xe9", b"A: b\x00",
          b"A: b\rc", b"A: b\r\n c", b"A: b\nC: d", b"Connection: close", b"Connection: keep-alive", b"Connection: A, close",
          b"Connection: Transfer-Encoding", b"Connection: Content-Length", b"Expect: 100-continue", b"Expect: more",
          b"Content_Length: 3", b"Transfer_Encoding: chunked", b"X-Forwarded-For: 192.0.2.1", b"TE: trailers", b"Trailer: A",
          b"Upgrade: h2c", b"Proxy-Connection: close", b"Cookie: a=b", b"Host: b.test", b"Host: a.test", b"X-API-Key: wrong"]
LENGTHS = [b"5", b"5", b"5", b"05", b"0", b"4", b"6", b"+5", b"-5", b"5, 5", b"5 5", b"0x5", b"", b"5\t", b"5\x0b", b"99999999999999999999"]
CODINGS = [b"chunked"] * 6 + [b"Chunked", b"chunked ", b"chunked, chunked", b"identity", b"gzip, chunked", b",chunked", b"chunked;a=b",
                              b"\x0bchunked", b"xchunked", b"", b"chunked\r\n\tx"]
SIZES = [b"5"] * 8 + [b"05", b"5;a", b"5;a=b", b'5;a="b;c"', b"5;", b"5 ", b" 5", b"0x5", b"+5", b"5\t", b"5;\n", b"5;a\rb", b"4", b"6", b"",
                      b"g", b"FFFFFFFFFFFFFFFF5", b"00000000000000000005", b"5;a=\"b"]
ENDS = [b"\r\n"] * 24 + [b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b""]
PIECES = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"/", b"..", b"%2f", b"%00",
          b"?", b"#", b"@", b"\\", b"\xc3\xa9", b"\x0b", b"\x85", b"\xa0", b"\x7f", b"chunked", b"HTTP/1.1", b"HTTP/1.0", b"GET /evil HTTP/1.1\r\n",
          b"Host: b.test\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
          b"Transfer-Encoding: identity\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"X-API-Key: wrong\r\n",
          b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b" HTTP/1.1\r\n", b"0", b"f", b"\r\n ", b"\r\n\t"]
GOOD = [
    b"GET /x HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"\r\n",
    b"POST /x HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"Content-Length: 5\r\n\r\nhello",
    b"POST /x HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"Trailer: A\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n",
    b"GET http://a.test/x?a=b HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"Accept: */*\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"Content-Length: 43\r\n\r\nGET /evil HTTP/1.1\r\nHost: a.test\r\nA: bcde\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"Transfer-Encoding: chunked\r\n\r\n26\r\nGET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n\r\n0\r\n\r\n",
    b"POST /x HTTP/1.0\r\nHost: a.test\r\n" + KEY_LINE + b"Connection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /x HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /x HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
]
# Comes last, unharmed: whoever lost count of the bytes before it shows it here.
LAST = b"GET /last HTTP/1.1\r\nHost: a.test\r\n" + KEY_LINE + b"Connection: close\r\n\r\n"


def with_key(payload):
    """A probe with the key behind its first line."""
    line, found, rest = payload.partition(b"\r\n")
    return line + found + KEY_LINE + rest if found else payload


PROBES = [with_key(payload) for _, _, payload in probes() if len(payload) < 2000]


def mutation(seed, number):
    """The bytes of one mutation, and of what follows it on the connection."""
    rng = random.Random(seed << 32 | number)
    kind = rng.random()
    if kind < 0.35:
        request = sentence(rng)
    elif kind < 0.55:
        request = damaged(rng, rng.choice(PROBES))
    else:
        request = damaged(rng, rng.choice(GOOD))
    if rng.random() < 0.3:
        request += damaged(rng, rng.choice(GOOD)) if rng.random() < 0.5 else rng.choice(GOOD)
    return request + LAST


def sentence(rng):
    """A request of the grammar; each of its parts is mostly a good one."""
    def pick(choices, good):
        return choices[0] if rng.random() < good else rng.choice(choices)

    end = lambda: pick(ENDS, 0.95)
    lines = [b" ".join([rng.choice(METHODS), pick(TARGETS, 0.6), pick(VERSIONS, 0.8)]) + end()]
    fields = [b"Host: a.test", KEY_LINE[:-2]]
    fields += [rng.choice(FIELDS) for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))]
    framing = rng.random()
    if framing < 0.4:
        fields.append(b"Content-Length: " + pick(LENGTHS, 0.7))
    if framing > 0.35 and framing < 0.75:
        fields.append(b"Transfer-Encoding: " + pick(CODINGS, 0.75))
    rng.shuffle(fields)
    lines += [field + end() for field in fields] + [end()]
    body = b""
    if framing > 0.35 and framing < 0.75:
        for _ in range(rng.choice([0, 1, 1, 2])):
            body += pick(SIZES, 0.8) + end() + b"hello" + end()
        body += pick([b"0", b"00", b"0;a", b"0 ", b""], 0.9) + end()
        body += pick([b"", b"A: b\r\n", b"Content-Length: 3\r\n", b"A\r\n", b"X: GET /evil HTTP/1.1\r\n"], 0.8) + end()
    elif framing < 0.4:
        body = b"hello"
    return b"".join(lines) + body


def damaged(rng, request):
    """A request with damage at up to four places; now and then with none."""
    data = bytearray(request)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 4])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(9)
        if kind == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at : at + rng.randrange(1, 8)]
        elif kind == 3:
            copy = data[at : at + rng.randrange(1, 40)]
            to = rng.randrange(len(data) + 1)
            data[to:to] = copy
        elif kind == 4:
            lines = bytes(data).split(b"\r\n")
            one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[one], lines[other] = lines[other], lines[one]
            data = bytearray(b"\r\n".join(lines))
        elif kind == 5:
            digits = [place for place, byte in enumerate(data) if 0x30 <= byte <= 0x39]
            data[rng.choice(digits)] = rng.choice(b"0123456789abx+-") if digits else 0x30
        elif kind == 6:
            ends = [place for place in range(len(data) - 1) if data[place : place + 2] == b"\r\n"]
            if ends:
                place = rng.choice(ends)
                data[place : place + 2] = rng.choice(ENDS)
        else:
            data[at:at] = rng.choice(PIECES)
    return bytes(data)
