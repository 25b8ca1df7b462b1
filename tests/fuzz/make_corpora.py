#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes corpus/<target>/: a few small, whole inputs for each fuzzer, so that it begins behind the first checks.

What it writes is committed; run it again when a format changes. Each file is of our own making and under 4 KiB.
"""
import json
import os
import struct
import sys

import msgpack

HERE = os.path.dirname(os.path.abspath(__file__))
SIZE_MAX = 4096


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# --- model files --------------------------------------------------------------------------------------------------------
def header(tensors, **metadata):
    """JSON of a safetensors header, and how many bytes of F16 tensors follow it."""
    rows, at = ({"__metadata__": metadata} if metadata else {}), 0
    for name, shape in tensors.items():
        size = 2
        for dimension in shape:
            size *= dimension
        rows[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return json.dumps(rows, separators=(",", ":")).encode(), at


TO_K = ".transformer_blocks.0.attn2.to_k.weight"
COMMON = {"cond_stage_model.transformer.text_model.embeddings.position_ids": [1, 77],
          "first_stage_model.decoder.conv_in.weight": [512, 4, 3, 3], "first_stage_model.encoder.conv_in.weight": [128, 3, 3, 3]}
UNET = "model.diffusion_model.input_blocks."
KOHYA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
MODELS = {
    "lora_sd1": header({KOHYA + ".alpha": [], KOHYA + ".lora_down.weight": [4, 768], KOHYA + ".lora_up.weight": [320, 4]}),
    "lora_sdxl": header({"lora_te2_text_model_encoder_layers_0_self_attn_k_proj.lora_down.weight": [4, 1280],
                         KOHYA + ".lora_down.weight": [4, 2048]}),
    "main_sd1": header({**COMMON, UNET + "0.0.weight": [320, 4, 3, 3], UNET + "2.1" + TO_K: [320, 768], UNET + "4.1" + TO_K: [640, 768]}),
    "main_sd2_inpaint": header({**COMMON, UNET + "0.0.weight": [320, 9, 3, 3], UNET + "2.1" + TO_K: [320, 1024]},
                               **{"modelspec.prediction_type": "v"}),
    "vae": header({"encoder.conv_in.weight": [128, 3, 3, 3], "decoder.conv_in.weight": [512, 4, 3, 3]}),
    "unknown": header({"a": [1], "\u00e4\"\\": [2, 3], "b": [0]}, format="pt"),
}


def identify():
    return {name: struct.pack("<I", rest) + text for name, (text, rest) in MODELS.items()}


def safetensors():
    text, rest = header({"a": [2], "b": [1, 2], "c": []}, format="pt")
    files = {"whole": b"\0" + struct.pack("<Q", len(text)) + text + bytes(rest), "header": bytes([rest * 2 + 1]) + text,
             "empty": b"\1{}", "escapes": b"\5" + b'{"\\u0061\\ud83d\\ude00":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'}
    return {**files, "scalars": b"\1" + b'{"__metadata__":{"a":"b"},"x":{"dtype":"F4","shape":[0,3],"data_offsets":[0,0]}}'}


def shard_index():
    shards = {f"layer.{at}.weight": f"model-0000{at % 2 + 1}-of-00002.safetensors" for at in range(6)}
    return {"two": json.dumps({"metadata": {"total_size": 12}, "weight_map": shards}).encode(),
            "one": b'{"weight_map":{"a":"x.safetensors"}}', "parent": b'{"weight_map":{"a":"../x"}}'}


def gguf():
    def text(words):
        return struct.pack("<Q", len(words)) + words

    def made(tensors, pairs, alignment=32, version=3, all_at_hand=True):
        infos, at, data = b"", 0, b""
        for name, dimensions, number, size in tensors:
            infos += text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, number, at)
            data = data.ljust(at, b"\0") + bytes(size)
            at = (at + size + alignment - 1) // alignment * alignment
        top = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join(pairs) + infos
        top += bytes(-len(top) % alignment) if data else b""
        return (b"\xff\xff" if all_at_hand else b"\0\x10") + top + data
    words = [text(b"general.architecture") + struct.pack("<I", 8) + text(b"flux"), text(b"general.file_type") + struct.pack("<II", 4, 15)]
    tokens = text(b"tokens") + struct.pack("<IIQ", 9, 8, 2) + text(b"a") + text(b"bc")
    numbers = text(b"scores") + struct.pack("<IIQ", 9, 6, 3) + bytes(12)
    split = [text(b"split." + key) + struct.pack(kind, number, value)
             for key, kind, number, value in ((b"no", "<IH", 2, 1), (b"count", "<IH", 2, 2), (b"tensors.count", "<II", 5, 9))]
    two = [(b"a", [32, 3], 2, 54), (b"b", [4], 0, 16)]
    return {"two": made(two, words), "pieces": made(two, [tokens, numbers, *words], all_at_hand=False), "empty": made([], [], version=2),
            "split": made([(b"s", [], 0, 4)], split), "blocks": made([(b"k", [256, 2], 12, 288), (b"z", [0, 4], 1, 0)], []),
            "aligned": made(two, [text(b"general.alignment") + struct.pack("<II", 4, 64)], 64)}


# --- the disk -------------------------------------------------------------------------------------------------------------
def journal():
    def head(size, suffix, validator=b""):
        body = b"YARDPART" + struct.pack("<II", 1, 0) + bytes(range(32)) + struct.pack("<Q", size)
        body = (body + suffix.ljust(48, b"\0") + validator.ljust(256, b"\0")).ljust(508, b"\0")
        return body + struct.pack("<I", crc32c(body))

    def chain(start, proofs):
        check, out = struct.unpack("<I", start[-4:])[0], start
        for proof in proofs:
            row = struct.pack("<QI", proof, proof * 7 % 2**32)
            check = crc32c(row, check)
            out += row + struct.pack("<I", check)
        return out
    steps = [0, 8 << 20, 16 << 20, 40 << 20]
    return {"whole": b"\0" + chain(head(40 << 20, b".part", b'"etag"'), steps),
            "unknown_size": b"\0" + chain(head(2**64 - 1, b".part.1234567890"), steps),
            "torn": b"\0" + chain(head(40 << 20, b".part"), steps)[:-5], "head": b"\1" + head(5, b".part"),
            "made_right": b"\x0f" + head(99, b".part") + bytes(64), "leaves": b"\1" + head(5, b".part/../x")}


def manifest():
    config = {"key": "0123456789abcdef" * 2, "name": "a model", "type": "lora", "base": "sd-1", "format": "lycoris",
              "path": "sd-1/lora/a_model/a.safetensors", "hash": "imohash:00"}
    file = {"path": "a.safetensors", "bytes": 9, "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            "chunk_bytes": 8 << 20, "crc32c": "e3069283"}
    whole = {"version": 1, "job": 7, "config": config, "files": [file]}
    parent = {**whole, "files": [{**file, "path": "../../etc/passwd"}, file]}
    text = {name: json.dumps(value).encode() for name, value in (("whole", whole), ("parent", parent), ("none", {**whole, "files": []}))}
    return {**text, "torn": text["whole"][:-20]}


def configuration():
    return {"small": b"models_dir: /srv/models\nnode: box7\nbus:\n  open_asks_max: 16\n  insecure_loopback: true\njobs:\n  lease_ms: 1000\n",
            "flow": b'{bus: {command: "ipc:///tmp/x"}, log: {level: debug}}\n', "unknown": b"bus:\n  comand: x\n",
            "anchor": b"bus: &a\n  command: ipc:///x\njobs: *a\n", "empty": b"---\n"}


# --- the bus ----------------------------------------------------------------------------------------------------------------
def router():
    step = {word: at << 4 for at, word in enumerate(("frames", "hello", "ask", "answer", "follow", "publish", "mood", "withdraw", "pong",
                                                      "tick"))}

    def program(*steps):
        return b"".join(bytes([step[word] | peer, *arguments]) for word, peer, *arguments in steps)
    meet = [("hello", 0, 0x00, 0), ("hello", 1, 0x01, 1), ("hello", 2, 0x53, 2)]
    return {"ask_and_answer": program(*meet, ("ask", 3, 0), ("answer", 0, 1), ("ask", 1, 16), ("answer", 0, 0)),
            "follow": program(*meet, ("follow", 0, 5), ("publish", 1, 0x10), ("publish", 1, 0x21), ("follow", 0, 3), ("tick", 0, 20)),
            "gone": program(*meet, ("ask", 1, 0), ("mood", 0, 2), ("tick", 1, 200), ("pong", 1), ("tick", 1, 200)),
            "moved": program(*meet, ("ask", 0, 1), ("hello", 5, 0x00, 0), ("answer", 5, 1), ("withdraw", 0, 0)),
            "frames": program(*meet) + bytes([0x03, 3, 0x40 | 2]) + b"ab" + bytes([4]) + b"yard" + bytes([1]) + b"\x80"}


def attach_packet():
    hello = {"lease": "1" * 32, "protocol": 1}
    return {"hello": msgpack.packb(hello), "more": msgpack.packb({**hello, "later": [1, {"a": b"b"}]}),
            "short": msgpack.packb({"lease": "1"}), "long": msgpack.packb({**hello, "x": "y" * 4000})}


def wire():
    """The first two bytes choose the type; which it is changes as messages are added, so each body comes under several."""
    bodies = {"job": {"id": 7, "kind": "install", "status": "waiting", "parent": 0, "priority": 10, "bytes": 1, "total_bytes": 2},
              "hello": {"actor": "a", "place": "b", "instance": "0" * 32, "node": "n", "methods": [], "protocol": 1},
              "told": {"events": [{"name": "e", "subject": "1", "body": b"\x80", "time": 1.0, "change": 4}], "store": "s"},
              "lists": {"ids": [1, 2, 2**53], "prefixes": ["", "model_"], "holding": [{"job": 1, "token": 2}]},
              "key": {"key": "0" * 32, "config": {"name": "a", "type": "lora"}}}
    return {f"{name}{number}": struct.pack("<H", number) + msgpack.packb(body)
            for name, body in bodies.items() for number in (3, 40)} | {"json": b"\x05\x00" + b'{"key":"a","ids":[1,2],"on":true}'}


def directory():
    def made(rows, strings, shapes):
        begin = 64 + 64 * len(rows)
        top = b"YARDDIR1" + struct.pack("<IIQQQQQQ", 1, len(rows), 64, begin + 8 * len(shapes), len(strings), begin, len(shapes), 0)
        body = b"".join(struct.pack("<IIIIIIIIQQQQ", *row) for row in rows)
        return top + body + struct.pack(f"<{len(shapes)}Q", *shapes) + strings
    none = 2**64 - 1
    two = [(0, 1, 2, 3, 0, 2, 0, 0, 0, 64, none, 0), (1, 1, 5, 9, 0, 2, 1, 0, 256, 2**40, 2, 0)]
    return {"two": made(two, b"abF16ggml:Q4_K", [4, 8, 1, 4]), "none": made([], b"", []),
            "outside": made([(0, 99, 0, 1, 0, 1, 0, 0, 0, 1, none, 0)], b"a", [1])}


TARGETS = {"attach_packet": attach_packet, "configuration": configuration, "directory": directory, "gguf": gguf, "identify": identify,
           "journal": journal, "manifest": manifest, "router": router, "safetensors": safetensors, "shard_index": shard_index, "wire": wire}


def main():
    for target, make in TARGETS.items():
        folder = os.path.join(HERE, "corpus", target + "_fuzz")
        os.makedirs(folder, exist_ok=True)
        for name, data in make().items():
            if len(data) > SIZE_MAX:
                sys.exit(f"{target}/{name} has {len(data)} bytes, the limit is {SIZE_MAX}")
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)


if __name__ == "__main__":
    main()
