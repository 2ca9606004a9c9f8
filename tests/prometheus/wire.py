"""Prometheus' messages by hand: protobuf, snappy blocks, frames and XOR chunks, so that what is tested is read by other eyes."""

import struct

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def bits_of(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def value_of(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


# ---- protobuf -------------------------------------------------------------------------------

def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field_bytes(number, content):
    if isinstance(content, str):
        content = content.encode()
    return varint(number << 3 | 2) + varint(len(content)) + content


def field_varint(number, value):
    return varint(number << 3) + varint(value) if value else b""


def field_double(number, value):
    """`value`: a float, or the bits of one."""
    bits = value if isinstance(value, int) else bits_of(value)
    return varint(number << 3 | 1) + struct.pack("<Q", bits) if bits else b""


def read_varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(message):
    """All fields of a message: (number, value); bytes for those with a length."""
    at, found = 0, []
    while at < len(message):
        tag, at = read_varint(message, at)
        if tag & 7 == 0:
            value, at = read_varint(message, at)
        elif tag & 7 == 1:
            value, at = struct.unpack_from("<Q", message, at)[0], at + 8
        elif tag & 7 == 2:
            count, at = read_varint(message, at)
            value, at = message[at:at + count], at + count
        else:
            raise ValueError(f"type {tag & 7}")
        found.append((tag >> 3, value))
    return found


def signed(value):
    return value - (1 << 64) if value >= 1 << 63 else value


# ---- snappy blocks --------------------------------------------------------------------------

def pack(plain):
    """A block of literals: valid, and not smaller."""
    out = varint(len(plain))
    for at in range(0, len(plain), 60):
        piece = plain[at:at + 60]
        out += bytes([(len(piece) - 1) << 2]) + piece
    return out


def unpack(block):
    count, at = read_varint(block, 0)
    out = bytearray()
    while at < len(block):
        tag = block[at]
        at += 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                width = length - 60
                length = int.from_bytes(block[at:at + width], "little") + 1
                at += width
            out += block[at:at + length]
            at += length
            continue
        if tag & 3 == 1:
            length, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | block[at]
            at += 1
        else:
            width = 2 if tag & 3 == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(block[at:at + width], "little")
            at += width
        for _ in range(length):
            out.append(out[-offset])
    assert len(out) == count
    return bytes(out)


# ---- remote write ---------------------------------------------------------------------------

def sample(t_ms, value):
    return field_double(1, value) + field_varint(2, t_ms)


def label(name, value):
    return field_bytes(1, name) + field_bytes(2, value)


def series_1(labels, samples, histograms=(), exemplars=()):
    """`labels`: pairs, in the order in which they are sent. `samples`: (t_ms, value)."""
    return (b"".join(field_bytes(1, label(*pair)) for pair in labels) +
            b"".join(field_bytes(2, sample(*one)) for one in samples) +
            b"".join(field_bytes(3, one) for one in exemplars) +
            b"".join(field_bytes(4, one) for one in histograms))


def write_1(*series, metadata=()):
    return (b"".join(field_bytes(1, one) for one in series) +
            b"".join(field_bytes(3, one) for one in metadata))


def family_1(kind, name, help_text, unit=""):
    return (field_varint(1, kind) + field_bytes(2, name) + field_bytes(4, help_text) +
            field_bytes(5, unit))


class Symbols:
    def __init__(self):
        self.texts = [""]

    def ref(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


def series_2(symbols, labels, samples, histograms=(), exemplars=(), refs=None, family=None):
    if refs is None:
        refs = [symbols.ref(word) for pair in labels for word in pair]
    out = field_bytes(1, b"".join(varint(ref) for ref in refs))
    out += b"".join(field_bytes(2, sample(*one)) for one in samples)
    out += b"".join(field_bytes(3, one) for one in histograms)
    for t_ms, value, pairs in exemplars:
        words = [symbols.ref(word) for pair in pairs for word in pair]
        out += field_bytes(4, field_bytes(1, b"".join(varint(ref) for ref in words)) +
                           field_double(2, value) + field_varint(3, t_ms))
    if family:
        kind, help_text, unit = family
        out += field_bytes(5, field_varint(1, kind) + field_varint(3, symbols.ref(help_text)) +
                           field_varint(4, symbols.ref(unit)))
    return out


def write_2(symbols, *series):
    return (b"".join(field_bytes(4, text) for text in symbols.texts) +
            b"".join(field_bytes(5, one) for one in series))


def histogram(t_ms):
    """The smallest that is none of nothing: one observation, in one bucket of schema 0."""
    span = field_varint(2, 1)
    return (field_varint(1, 1) + field_double(3, 1.0) + field_bytes(11, span) +
            field_bytes(12, varint(2)) + field_varint(15, t_ms))


def zigzag(number):
    return number * 2 if number >= 0 else -number * 2 - 1


def rich_histogram(t_ms, count=10, is_float=False):
    """Of schema 1, with zeros. Positive: `count` in (0.707, 1], 1 in (1, 1.414]; negative: 2 in [-2, -1.414)."""
    def number(field, value):
        return field_double(field, float(value)) if is_float else field_varint(field, value)

    def buckets(*counts):
        if is_float:
            return b"".join(struct.pack("<d", one) for one in counts)
        return b"".join(varint(zigzag(now - before)) for before, now in zip((0, *counts), counts))

    return (number(2 if is_float else 1, count + 6) + field_double(3, 12.5) + field_varint(4, zigzag(1)) +
            field_double(5, 0.001) + number(7 if is_float else 6, 3) +
            field_bytes(8, field_varint(1, zigzag(2)) + field_varint(2, 1)) +
            field_bytes(10 if is_float else 9, buckets(2)) +
            field_bytes(11, field_varint(2, 2)) + field_bytes(13 if is_float else 12, buckets(count, 1)) +
            field_varint(15, t_ms))


def exemplar(t_ms, value, *labels):
    return (b"".join(field_bytes(1, label(*pair)) for pair in labels) + field_double(2, value) +
            field_varint(3, t_ms))


# ---- remote read ----------------------------------------------------------------------------

EQUAL, NOT_EQUAL, MATCH, NOT_MATCH = range(4)
STREAM = 1


def query(start_ms, end_ms, *matchers):
    return (field_varint(1, start_ms) + field_varint(2, end_ms) +
            b"".join(field_bytes(3, field_varint(1, kind) + field_bytes(2, name) +
                                 field_bytes(3, value)) for kind, name, value in matchers))


def read_request(*queries, kinds=()):
    return (b"".join(field_bytes(1, one) for one in queries) +
            b"".join(varint(2 << 3) + varint(kind) for kind in kinds))


def read_labels(message, number):
    return tuple(tuple(part.decode(errors="surrogateescape") for _, part in fields(content))
                 for at, content in fields(message) if at == number)


def sum_mark(value):
    """What a histogram of a sum is among samples: no bits of a float."""
    return -1 - bits_of(value)


def read_samples(message):
    """The queries' results: each a list of (labels, [(t_ms, bits or mark)])."""
    results = []
    for _, result in fields(message):
        found = []
        for _, series in fields(result):
            samples = []
            for number, content in fields(series):
                if number == 2:
                    parts = dict(fields(content))
                    samples.append((signed(parts.get(2, 0)), parts.get(1, 0)))
                elif number == 4:
                    parts = dict(fields(content))
                    samples.append((signed(parts.get(15, 0)), -1 - parts.get(3, 0)))
            found.append((read_labels(series, 1), sorted(samples)))
        results.append(found)
    return results


def crc32c(content, table=[]):
    if not table:
        for byte in range(256):
            for _ in range(8):
                byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
            table.append(byte)
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Bits:
    def __init__(self, content):
        self.number, self.left = int.from_bytes(content, "big"), len(content) * 8

    def take(self, count):
        self.left -= count
        return self.number >> self.left & (1 << count) - 1

    def varint(self, is_signed):
        value = shift = 0
        while True:
            byte = self.take(8)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return (value >> 1) ^ -(value & 1) if is_signed else value


def read_chunk(content):
    """The samples of an XOR chunk: (t_ms, bits)."""
    count, bits = struct.unpack_from(">H", content)[0], Bits(content[2:])
    t_ms = delta = value = leading = trailing = 0
    samples = []
    for index in range(count):
        if index == 0:
            t_ms, value = bits.varint(True), bits.take(64)
        else:
            if index == 1:
                delta = bits.varint(False)
            else:
                size = 0
                for size in (0, 14, 17, 20, 64):
                    if size == 64 or not bits.take(1):
                        break
                second = bits.take(size) if size else 0
                if size == 64:
                    second = signed(second)
                elif size and second > 1 << (size - 1):
                    second -= 1 << size
                delta += second
            t_ms += delta
            if bits.take(1):
                if bits.take(1):
                    leading, length = bits.take(5), bits.take(6) or 64
                    trailing = 64 - leading - length
                value ^= bits.take(64 - leading - trailing) << trailing
        samples.append((t_ms, value))
    return samples


def read_stream(content):
    """Frames as they come: (query, labels, [(min_ms, max_ms, samples)], bytes of the frame)."""
    at, frames = 0, []
    while at < len(content):
        count, at = read_varint(content, at)
        crc, message = struct.unpack_from(">I", content, at)[0], content[at + 4:at + 4 + count]
        assert len(message) == count and crc == crc32c(message)
        at += 4 + count
        index = 0
        for number, part in fields(message):
            if number == 2:
                index = part
        for number, part in fields(message):
            if number != 1:
                continue
            chunks = []
            for kind, chunk in fields(part):
                if kind == 2:
                    parts = dict(fields(chunk))
                    assert parts[3] == 1
                    chunks.append((signed(parts.get(1, 0)), signed(parts.get(2, 0)),
                                   read_chunk(parts[4])))
            frames.append((index, read_labels(part, 1), chunks, count))
    return frames
