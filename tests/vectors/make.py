#!/usr/bin/env python3
"""Write keys.json and entries.json: an implementation of docs/key.md and docs/entry.md of its own.

Needs the `xxhash` module. Not run by the build: the files are frozen with the formats, and
tests/unit/check_vectors.c replays them. Run it to add vectors; old ones must come out unchanged.
"""
import json
import math
import os
import struct

import xxhash

TYPES = {"none": 1, "bool": 2, "int": 3, "float": 4, "string": 5, "bytes": 6, "list": 7, "sha256": 8}
KEY_MAX = 1 << 20


def digest(data):
    return xxhash.xxh3_128_digest(data)


def blob(given):
    """Bytes given as hexadecimal text or as {"repeat": hex, "count": n}."""
    if isinstance(given, dict):
        return bytes.fromhex(given["repeat"]) * given["count"]
    return bytes.fromhex(given)


def value_bytes(v):
    kind = v["type"]
    if kind == "none":
        return b""
    if kind == "bool":
        return b"\1" if v["value"] else b"\0"
    if kind == "int":
        n = int(v["value"])
        size = 1
        while not -(1 << (8 * size - 1)) <= n < 1 << (8 * size - 1):
            size += 1
        return n.to_bytes(size, "little", signed=True)
    if kind == "float":
        bits = int(v["bits"], 16)
        if math.isnan(struct.unpack("<d", struct.pack("<Q", bits))[0]):
            bits = 0x7FF8000000000000
        return struct.pack("<Q", bits)
    if kind == "string":
        return v["value"].encode() if "value" in v else blob(v["bytes"])
    if kind in ("bytes", "sha256"):
        return blob(v["bytes"])
    items = v["items"]
    out = struct.pack("<I", len(items))
    for item in items:
        b = value_bytes(item)
        out += struct.pack("<BI", TYPES[item["type"]], len(b)) + b
    return out


def key_bytes(kind, fields):
    parts = []
    for f in sorted(fields, key=lambda f: f["name"].encode()):
        name, value = f["name"].encode(), value_bytes(f)
        parts.append(struct.pack("<BBI", TYPES[f["type"]], len(name), len(value)) + name + value)
    body = b"".join(parts)
    return b"NTK\1" + struct.pack("<HHI", kind, len(fields), 12 + len(body)) + body


def align(n, to):
    return -(-n // to) * to


def body_bytes(key, notes, parts):
    parts = sorted(parts)
    names = b"".join(name for name, _ in parts)
    table_at = align(64 + len(key) + len(notes), 8)
    names_at = table_at + 32 * len(parts)
    at = align(names_at + len(names), 64)
    out = bytearray(at)
    out[64:64 + len(key) + len(notes)] = key + notes
    out[names_at:names_at + len(names)] = names
    name_at = names_at
    for i, (name, data) in enumerate(parts):
        row = struct.pack("<IIQQQ", name_at, len(name), len(out), len(data), 0)
        out[table_at + 32 * i:table_at + 32 * i + 32] = row
        name_at += len(name)
        out += data + bytes(align(len(data), 64) - len(data))
    out[0:8] = b"NTCBODY\1"
    struct.pack_into("<QIIII", out, 24, len(out), len(key), len(notes), len(parts), len(names))
    out[8:24] = digest(bytes(out[24:]))
    return bytes(out)


def stamp_bytes(body, put, cost, uid, gid, pid, host, exe):
    rest = body[8:24] + struct.pack("<QQIII", put, cost, uid, gid, pid) + bytes(28)
    rest += host.encode().ljust(64, b"\0") + exe.encode().ljust(96, b"\0")
    assert len(rest) == 232
    return b"NTCSTMP\1" + digest(rest) + rest


# --- keys -------------------------------------------------------------------------------------

def f(name, kind, **more):
    return {"name": name, "type": kind, **more}


def integer(name, n):
    return f(name, "int", value=str(n))


def bits(name, pattern):
    return f(name, "float", bits=pattern)


def nested(depth, name=None):
    v = {"type": "list", "items": []}
    for _ in range(depth - 1):
        v = {"type": "list", "items": [v]}
    return {"name": name, **v} if name else v


def good_keys():
    yield "no fields", 1, []
    for kind, name in enumerate(("kernel", "handle", "source", "library", "tuning"), 1):
        yield f"kind {name}", kind, [f("a", "none")]
    yield "kind 0 (counters)", 0, [integer("hits", 1)]
    yield "kind 65535 (not for entries)", 65535, []
    mixed = [
        f("arrangement", "string", value="// tiles of BLOCK_SIZE\n"),
        f("application", "string", value="out[i] = x[i] + y[i];\n"),
        integer("BLOCK_SIZE", 256),
        f("dtype", "string", value="float16"),
        f("fast_math", "bool", value=False),
        bits("scale", "3fe0000000000000"),
        f("arch", "string", value="sm_90"),
    ]
    yield "a kernel", 1, mixed
    yield "a kernel, fields added in another order", 1, mixed[::-1]
    yield "names sort by bytes", 1, [f(n, "none") for n in ("b", "a", "B", "a.b", "a0", "_", "ab", "~", "!")]
    for n in (0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 8388607, 8388608,
              2**31 - 1, 2**31, -2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, -2**63, -2**63 - 1, 2**64 - 1, 2**64,
              2**127, 2**255 - 1, -2**255):
        yield f"int {n}", 1, [integer("n", n)]
    yield "true", 1, [f("v", "bool", value=True)]
    yield "false", 1, [f("v", "bool", value=False)]
    for text, pattern in (("0.0", "0000000000000000"), ("-0.0", "8000000000000000"), ("1.0", "3ff0000000000000"),
                          ("smallest", "0000000000000001"), ("largest", "7fefffffffffffff"),
                          ("infinity", "7ff0000000000000"), ("-infinity", "fff0000000000000"),
                          ("NaN", "7ff8000000000000"), ("NaN with sign", "fff8000000000000"),
                          ("NaN with payload", "7ff8000000000123"), ("signalling NaN", "7ff0000000000001"),
                          ("NaN of all ones", "ffffffffffffffff")):
        yield f"float {text}", 1, [bits("v", pattern)]
    for text in ("", "a", "a\u0000b", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff",
                 "\U00010000", "\U0010ffff", "größe 大きさ 🧮", "e\u0301", "\u00e9"):
        yield "string " + json.dumps(text), 1, [f("s", "string", value=text)]
    yield "no bytes", 1, [f("b", "bytes", bytes="")]
    yield "bytes", 1, [f("b", "bytes", bytes="00ff8041")]
    yield "string and bytes of one content differ: string", 1, [f("v", "string", value="ab")]
    yield "string and bytes of one content differ: bytes", 1, [f("v", "bytes", bytes="6162")]
    yield "sha256", 1, [f("binary", "sha256",
                          bytes="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    yield "empty list", 1, [nested(1, "l")]
    yield "list of every type", 1, [{"name": "l", "type": "list", "items": [
        {"type": "none"}, {"type": "bool", "value": True}, {"type": "int", "value": "-300"},
        {"type": "float", "bits": "8000000000000000"}, {"type": "string", "value": "x"},
        {"type": "bytes", "bytes": "00"}, nested(1), {"type": "sha256", "bytes": "ab" * 32}]}]
    yield "lists keep their order: 1, 2", 1, [{"name": "l", "type": "list", "items": [
        {"type": "int", "value": "1"}, {"type": "int", "value": "2"}]}]
    yield "lists keep their order: 2, 1", 1, [{"name": "l", "type": "list", "items": [
        {"type": "int", "value": "2"}, {"type": "int", "value": "1"}]}]
    yield "lists nested 8 deep", 1, [nested(8, "l")]
    yield "longest name", 1, [f("n" * 255, "none")]
    yield "largest key", 1, [f("b", "bytes", bytes={"repeat": "5a", "count": KEY_MAX - 12 - 6 - 1})]


# What a builder has to refuse, by its fields.
def refused_fields():
    yield "a name twice", "BAD_KEY", [integer("a", 1), integer("b", 2), integer("a", 1)]
    yield "a name twice with other types", "BAD_KEY", [integer("a", 1), f("a", "none")]
    yield "an empty name", "BAD_KEY", [f("", "none")]
    yield "a name of 256 bytes", "BAD_KEY", [f("n" * 256, "none")]
    for what, name in (("a space", "a b"), ("an equals sign", "a=b"), ("a control character", "a\tb"),
                       ("DEL", "a\u007f"), ("a letter outside ASCII", "ä")):
        yield f"a name with {what}", "BAD_KEY", [f(name, "none")]
    for what, raw in (("a lone continuation byte", "80"), ("an overlong NUL", "c080"), ("an overlong slash", "e080af"),
                      ("an overlong character of four bytes", "f0808080"), ("a surrogate", "eda080"),
                      ("a character past U+10FFFF", "f4908080"), ("a byte 0xf5", "f5808080"), ("a byte 0xff", "ff"),
                      ("a cut two-byte character", "c3"), ("a cut three-byte character", "e282"),
                      ("a cut four-byte character", "f09f98"), ("a character cut by another", "c341")):
        yield f"a string with {what}", "BAD_KEY", [f("s", "string", bytes=raw)]
    yield "lists nested 9 deep", "BAD_KEY", [nested(9, "l")]
    yield "a key of 1 MiB and a byte", "TOO_LARGE", [f("b", "bytes", bytes={"repeat": "5a", "count": KEY_MAX - 18})]


def field(kind, name, value, name_len=None, value_len=None):
    name = name.encode("latin-1")
    return struct.pack("<BBI", kind, len(name) if name_len is None else name_len,
                       len(value) if value_len is None else value_len) + name + value


def raw_key(fields, magic=b"NTK\1", kind=1, count=None, size=None):
    body = b"".join(fields)
    return magic + struct.pack("<HHI", kind, len(fields) if count is None else count,
                               12 + len(body) if size is None else size) + body


# What a checker has to refuse, by its bytes.
def refused_bytes():
    one = field(3, "n", b"\1")
    yield "nothing", "BAD_KEY", b""
    yield "a header one byte short", "BAD_KEY", raw_key([])[:-1]
    yield "another magic", "BAD_KEY", raw_key([one], magic=b"NTL\1")
    yield "format 2", "BAD_KEY", raw_key([one], magic=b"NTK\2")
    yield "a size one too small", "BAD_KEY", raw_key([one], size=19)
    yield "a size one too large", "BAD_KEY", raw_key([one], size=21)
    yield "a byte behind the last field", "BAD_KEY", raw_key([one, b"\0"], count=1)
    yield "a field that is not there", "BAD_KEY", raw_key([one], count=2)
    yield "a field that is not counted", "BAD_KEY", raw_key([one], count=0)
    yield "a field header cut short", "BAD_KEY", raw_key([one, field(3, "o", b"\1")[:5]])
    yield "a name past the end", "BAD_KEY", raw_key([field(1, "n", b"", name_len=2)])
    yield "a value past the end", "BAD_KEY", raw_key([field(6, "n", b"", value_len=1)])
    yield "a value of 4 GiB", "BAD_KEY", raw_key([field(6, "n", b"", value_len=0xFFFFFFFF)])
    yield "a field count over the limit", "TOO_LARGE", raw_key([one], count=4097)
    yield "fields out of order", "BAD_KEY", raw_key([field(1, "b", b""), field(1, "a", b"")])
    yield "a longer name before its prefix", "BAD_KEY", raw_key([field(1, "ab", b""), field(1, "a", b"")])
    yield "a field twice", "BAD_KEY", raw_key([one, one])
    yield "type 0", "BAD_KEY", raw_key([field(0, "n", b"")])
    yield "type 9", "BAD_KEY", raw_key([field(9, "n", b"")])
    yield "type 255", "BAD_KEY", raw_key([field(255, "n", b"")])
    yield "an empty name", "BAD_KEY", raw_key([field(1, "", b"")])
    yield "a name with a space", "BAD_KEY", raw_key([field(1, "a b", b"")])
    yield "a name with a NUL", "BAD_KEY", raw_key([field(1, "a\0", b"")])
    yield "a name with byte 0x80", "BAD_KEY", raw_key([field(1, "a\x80", b"")])
    yield "none with a value", "BAD_KEY", raw_key([field(1, "v", b"\0")])
    yield "bool without a value", "BAD_KEY", raw_key([field(2, "v", b"")])
    yield "bool 2", "BAD_KEY", raw_key([field(2, "v", b"\2")])
    yield "bool of two bytes", "BAD_KEY", raw_key([field(2, "v", b"\1\0")])
    yield "int without a value", "BAD_KEY", raw_key([field(3, "v", b"")])
    yield "int 0 of two bytes", "BAD_KEY", raw_key([field(3, "v", b"\0\0")])
    yield "int 127 of two bytes", "BAD_KEY", raw_key([field(3, "v", b"\x7f\0")])
    yield "int -1 of two bytes", "BAD_KEY", raw_key([field(3, "v", b"\xff\xff")])
    yield "int -128 of two bytes", "BAD_KEY", raw_key([field(3, "v", b"\x80\xff")])
    yield "int of 33 bytes", "BAD_KEY", raw_key([field(3, "v", b"\1" * 33)])
    yield "float of four bytes", "BAD_KEY", raw_key([field(4, "v", b"\0\0\x80\x3f")])
    yield "float of nine bytes", "BAD_KEY", raw_key([field(4, "v", bytes(9))])
    for text, pattern in (("with sign", 0xFFF8 << 48), ("with payload", 0x7FF8 << 48 | 1), ("signalling", 0x7FF0 << 48 | 1),
                          ("of all ones", 2**64 - 1)):
        yield f"NaN {text}", "BAD_KEY", raw_key([field(4, "v", struct.pack("<Q", pattern))])
    yield "a string that is not UTF-8", "BAD_KEY", raw_key([field(5, "v", b"\xc3")])
    yield "sha256 of 31 bytes", "BAD_KEY", raw_key([field(8, "v", bytes(31))])
    yield "sha256 of 33 bytes", "BAD_KEY", raw_key([field(8, "v", bytes(33))])
    item = struct.pack("<BI", 3, 1) + b"\1"
    yield "a list without a count", "BAD_KEY", raw_key([field(7, "l", b"\0\0\0")])
    yield "a list with an item too few", "BAD_KEY", raw_key([field(7, "l", struct.pack("<I", 2) + item)])
    yield "a list with an item too many", "BAD_KEY", raw_key([field(7, "l", struct.pack("<I", 0) + item)])
    yield "a list of 4 billion items", "BAD_KEY", raw_key([field(7, "l", struct.pack("<I", 0xFFFFFFFF) + item)])
    yield "a list with an item cut short", "BAD_KEY", raw_key([field(7, "l", struct.pack("<I", 1) + item[:-1])])
    yield "a list with a bad item", "BAD_KEY", raw_key([field(7, "l", struct.pack("<IBI", 1, 3, 2) + b"\0\0")])
    yield "a list with an item of type 0", "BAD_KEY", raw_key([field(7, "l", struct.pack("<IBI", 1, 0, 0))])
    deep = value_bytes(nested(9))
    yield "lists nested 9 deep", "BAD_KEY", raw_key([field(7, "l", deep)])


def keys():
    valid = []
    for name, kind, fields in good_keys():
        data = key_bytes(kind, fields)
        v = {"name": name, "kind": kind, "fields": fields, "size": len(data)}
        if len(data) <= 4096:
            v["hex"] = data.hex()
        v["digest"] = digest(data).hex()
        valid.append(v)
    return {
        "about": "Keys of docs/key.md. valid: fields in the order they are added, canonical bytes (left out where "
                 "large: their size), XXH3-128 digest. refused_fields: what a builder refuses. refused_bytes: what a "
                 "checker refuses. An int is decimal text, a float the bits of its binary64, bytes are hexadecimal or "
                 "{repeat, count}.",
        "format": 1,
        "valid": valid,
        "refused_fields": [{"name": n, "error": e, "kind": 1, "fields": x} for n, e, x in refused_fields()],
        "refused_bytes": [{"name": n, "error": e, "hex": b.hex()} for n, e, b in refused_bytes()],
    }


# --- entries ----------------------------------------------------------------------------------

def entries():
    key = key_bytes(1, [integer("BLOCK_SIZE", 128), f("program", "string", value="add")])
    notes = key_bytes(1, [f("compiler", "string", value="nvrtc 13.0")])
    shapes = [
        ("no parts", key, b"", []),
        ("one empty part", key, b"", [("log", b"")]),
        ("a kernel", key, notes, [("log", b"ptxas info: 8 registers\n"), ("cubin", b"\x7fELF" + bytes(range(60))),
                                  ("names", b"")]),
        ("a part of 64 bytes", key, b"", [("x", b"\xaa" * 64)]),
        ("a part of 65 bytes", key, b"", [("x", b"\xaa" * 65)]),
        ("longest part name", key, b"", [("n" * 255, b"1")]),
        ("part names sort by bytes", key, b"", [("b", b"2"), ("B", b"0"), ("a", b"1"), ("a.so", b"3")]),
        ("a source", key_bytes(3, [f("text", "sha256", bytes="11" * 32)]), b"", [("kernel.py", b"x = 1\n")]),
    ]
    stamp = {"put_wall_ns": 1767225600123456789, "cost_ns": 1500000000, "uid": 1000, "gid": 100, "pid": 4242,
             "host": "worker-7", "exe": "/usr/bin/python3.11"}
    valid = []
    for name, k, n, parts in shapes:
        body = body_bytes(k, n, [(p.encode(), d) for p, d in parts])
        image = body + stamp_bytes(body, stamp["put_wall_ns"], stamp["cost_ns"], stamp["uid"], stamp["gid"],
                                   stamp["pid"], stamp["host"], stamp["exe"])
        valid.append({"name": name, "key": k.hex(), "notes": n.hex(),
                      "parts": [{"name": p, "hex": d.hex()} for p, d in parts], "stamp": stamp,
                      "checksum": body[8:24].hex(), "body_size": len(body), "image": image.hex()})
    kernel = bytes.fromhex(valid[2]["image"])
    size = valid[2]["body_size"]
    body = kernel[:size]
    klen = len(key)
    table = align(64 + klen + len(notes), 8)
    names = table + 96
    parts_at = align(names + 13, 64)

    def patch(at, new, seal=True):
        b = bytearray(body)
        b[at:at + len(new)] = new
        if seal:
            b[8:24] = digest(bytes(b[24:]))
        return bytes(b)

    u32, u64 = (lambda n: struct.pack("<I", n)), (lambda n: struct.pack("<Q", n))
    refused = [
        ("nothing", "BAD_IMAGE", b""),
        ("cut inside the header", "BAD_IMAGE", body[:63]),
        ("cut behind the header", "BAD_IMAGE", body[:64]),
        ("cut by 64 bytes", "BAD_IMAGE", body[:-64]),
        ("64 bytes more", "BAD_IMAGE", body + bytes(64)),
        ("another magic", "BAD_IMAGE", patch(0, b"NTCBODZ\1")),
        ("format 2", "BAD_IMAGE", patch(7, b"\2")),
        ("another length", "BAD_IMAGE", patch(24, u64(size + 64))),
        ("a length past the limit of any body", "BAD_IMAGE", patch(24, u64(2**64 - 64))),
        ("a key length over the limit", "BAD_IMAGE", patch(32, u32((1 << 20) + 1))),
        ("a key length past the end", "BAD_IMAGE", patch(32, u32(1 << 20))),
        ("a key length one too small", "BAD_IMAGE", patch(32, u32(klen - 1))),
        ("a notes length over the limit", "BAD_IMAGE", patch(36, u32((64 << 10) + 1))),
        ("a notes length one too small", "BAD_IMAGE", patch(36, u32(len(notes) - 1))),
        ("a part count over the limit", "BAD_IMAGE", patch(40, u32(1025))),
        ("a part count one too small", "BAD_IMAGE", patch(40, u32(2))),
        ("a part count one too large", "BAD_IMAGE", patch(40, u32(4))),
        ("a names length over the limit", "BAD_IMAGE", patch(44, u32(1024 * 255 + 1))),
        ("a names length one too small", "BAD_IMAGE", patch(44, u32(12))),
        ("a names length one too large", "BAD_IMAGE", patch(44, u32(14))),
        ("reserved bytes in use", "BAD_IMAGE", patch(48, b"\1")),
        ("the last reserved byte in use", "BAD_IMAGE", patch(63, b"\1")),
        ("a key that is no key", "BAD_KEY", patch(64, b"X")),
        ("a key of kind 0", "BAD_KEY", patch(64 + 4, b"\0")),
        ("a key of kind 6", "BAD_KEY", patch(64 + 4, b"\6")),
        ("notes that are no field list", "BAD_IMAGE", patch(64 + klen, b"X")),
        ("padding before the table", "BAD_IMAGE", patch(table - 1, b"\1")),
        ("a name elsewhere", "BAD_IMAGE", patch(table, u32(names + 1))),
        ("an empty name", "BAD_IMAGE", patch(table + 4, u32(0))),
        ("a name past the names", "BAD_IMAGE", patch(table + 4, u32(14))),
        ("a name of 4 GiB", "BAD_IMAGE", patch(table + 4, u32(0xFFFFFFFF))),
        ("data elsewhere", "BAD_IMAGE", patch(table + 8, u64(parts_at + 64))),
        ("data that overlaps", "BAD_IMAGE", patch(table + 32 + 8, u64(parts_at))),
        ("data past the end", "BAD_IMAGE", patch(table + 16, u64(size - parts_at + 1))),
        ("data of 2^64 - 1 bytes", "BAD_IMAGE", patch(table + 16, u64(2**64 - 1))),
        ("a row's reserved bytes in use", "BAD_IMAGE", patch(table + 31, b"\1")),
        ("parts out of order", "BAD_IMAGE", patch(names, b"zubin")),
        ("a name with a slash", "BAD_IMAGE", patch(names + 1, b"/")),
        ("a name with a leading dot", "BAD_IMAGE", patch(names, b".")),
        ("a name with a NUL", "BAD_IMAGE", patch(names + 1, b"\0")),
        ("padding behind the names", "BAD_IMAGE", patch(names + 13, b"\1")),
        ("padding behind a part", "BAD_IMAGE", patch(size - 1, b"\1")),
        ("one bit of a part", "BAD_CHECKSUM", patch(parts_at, b"\x7e", seal=False)),
        ("one bit of the checksum", "BAD_CHECKSUM", patch(8, bytes([body[8] ^ 1]), seal=False)),
    ]
    twice = body_bytes(key, b"", [(b"a", b"1"), (b"b", b"2")])
    t = bytearray(twice)
    at = t.index(b"ab", 64 + klen)
    t[at + 1:at + 2] = b"a"
    t[8:24] = digest(bytes(t[24:]))
    refused.append(("a part twice", "BAD_IMAGE", bytes(t)))

    stamp_b = kernel[size:]

    def restamp(at, new, seal=True):
        s = bytearray(stamp_b)
        s[at:at + len(new)] = new
        if seal:
            s[8:24] = digest(bytes(s[24:]))
        return bytes(s)

    stamps = [
        ("empty", "NOT_FOUND", bytes(256)),
        ("another magic", "BAD_CHECKSUM", restamp(7, b"\2")),
        ("one bit of the cost", "BAD_CHECKSUM", restamp(48, b"\1", seal=False)),
        ("one bit of the checksum", "BAD_CHECKSUM", restamp(8, bytes([stamp_b[8] ^ 0x80]), seal=False)),
        ("another body's", "KEY_MISMATCH", restamp(24, bytes(16))),
        ("reserved bytes in use", "BAD_IMAGE", restamp(68, b"\1")),
        ("bytes behind the host's end", "BAD_IMAGE", restamp(96 + 60, b"x")),
        ("a host without an end", "BAD_IMAGE", restamp(96, b"h" * 64)),
        ("an executable without an end", "BAD_IMAGE", restamp(160, b"e" * 96)),
    ]
    return {
        "about": "Entries of docs/entry.md. valid: key, notes and parts (in any order) give `image`: a body of body_size "
                 "bytes and its stamp. refused_bodies: bytes in place of a body; refused_stamps: bytes in place of the "
                 "stamp of `a kernel`. BAD_CHECKSUM of a body is found by verifying, the others by parsing.",
        "format": 1,
        "valid": valid,
        "refused_bodies": [{"name": n, "error": e, "hex": b.hex()} for n, e, b in refused],
        "refused_stamps": [{"name": n, "error": e, "hex": b.hex()} for n, e, b in stamps],
    }


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    for name, content in (("keys", keys()), ("entries", entries())):
        with open(os.path.join(here, name + ".json"), "w", encoding="ascii") as out:
            out.write("{\n")
            members = list(content.items())
            for i, (member, value) in enumerate(members):
                end = "," if i + 1 < len(members) else ""
                if isinstance(value, list):
                    rows = ",\n".join("  " + json.dumps(v) for v in value)
                    out.write(f' "{member}": [\n{rows}\n ]{end}\n')
                else:
                    out.write(f' "{member}": {json.dumps(value)}{end}\n')
            out.write("}\n")


if __name__ == "__main__":
    main()
