"""What is measured: each case is what the load asks for, of whom, and what every answer must be."""

import dataclasses

from processes import CORES, PROXY_CORE


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to run keygate, where a case compares it with itself."""

    label: str
    key_count: int = 100
    workers: int = 1
    records: bool = False  # the keys stand in a keys file
    limited: bool = False  # each key has a rate that it does not reach


@dataclasses.dataclass(frozen=True)
class Case:
    """What the load asks for, and what every answer must be."""

    name: str
    about: str
    kind: str = "load"  # or "idle", "streams": who puts the load on
    path: str = "/small"
    key: str = "valid"  # or "wrong", "missing"
    status: int = 200
    key_count: int = 100
    close: bool = False
    query: bool = False  # the key stands in the query
    body: int = 0  # bytes that are sent with each request
    different: int = 0  # requests that differ, sent in turn; 0: one for each key
    connections: int = 0  # 0: as many as the options say
    multiplexed: int = 0  # requests at a time over one connection of HTTP/2; 0: HTTP/1.1
    variants: tuple = ()  # of keygate, instead of the proxies
    cores: tuple = (PROXY_CORE,)
    idle: int = 10_000
    streams: int = 1000
    events_a_second: int = 10


CASES = {case.name: case for case in (
    Case("get", "a small GET with a valid key, kept-alive connections"),
    Case("missing", "no key: 401", key="missing", status=401),
    Case("invalid", "a wrong key: 401", key="wrong", status=401),
    Case("connect", "a small GET with a valid key, a new connection for each request", close=True),
    Case("h2", "a small GET with a valid key over HTTP/2, one connection with 100 streams", connections=1, multiplexed=100),
    Case("h2missing", "the same without a key: 401", key="missing", status=401, connections=1, multiplexed=100),
    Case("body64k", "an answer of 64 KiB", path="/64k"),
    Case("body1m", "an answer of 1 MiB", path="/1m"),
    Case("upload64k", "a request body of 64 KiB", path="/upload", body=64 << 10),
    Case("query", "a small GET, the key in the query, removed before the origin sees it", query=True),
    Case("two", "a small GET, two connections only", connections=2),
    Case("keys100k", "a small GET, 100,000 keys, each used in turn", key_count=100_000),
    # As many requests whatever the keys: the load's own way through them costs the proxy cache, too.
    Case("keys", "a small GET, one key to a million, 100,000 of them used in turn", different=100_000, variants=tuple(
        Variant(f"{count:,} key{'s' if count > 1 else ''}", key_count=count) for count in (1, 1000, 100_000, 1_000_000))),
    Case("records", "the same with the keys in a keys file", different=100_000, variants=tuple(
        Variant(f"{count:,} record{'s' if count > 1 else ''}", key_count=count, records=True) for count in (1, 1_000_000))),
    Case("limited", "a small GET, without and with a rate limit by key", variants=(
        Variant("no limit"), Variant("rate limit", limited=True))),
    Case("workers", "a small GET, two workers on both cores, which the load uses too", cores=tuple(CORES), variants=(
        Variant("1 worker"), Variant("2 workers", workers=2))),
    Case("front", "as `workers`, but over two connections, as from a proxy in front", cores=tuple(CORES), connections=2, variants=(
        Variant("1 worker"), Variant("2 workers", workers=2))),
    Case("idle", "10,000 idle connections, or as many as the limit of open files allows", kind="idle"),
    Case("streams", "1,000 event streams of 10 events a second", kind="streams"),
)}
