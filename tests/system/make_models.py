"""Model files for tests, written from scratch: real key names and shapes, bytes that can be told apart.

Nothing here uses the safetensors package: what the product reads should not be written by what it is compared with.
"""
import json
import os
import struct

import numpy

WORDS = {"float32": "F32", "float16": "F16", "float64": "F64", "int64": "I64", "int32": "I32", "uint8": "U8", "bool": "BOOL"}


def write(path, tensors, metadata=None, pad=8):
    """tensors: (name, dtype word, shape, bytes) in order of the file. A bytes of None is a hole: zeros that take no disk."""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, word, shape, data in tensors:
        size = len(data) if data is not None else hole_bytes(word, shape)
        header[name] = {"dtype": word, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % pad)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        start = file.tell()
        for name, word, shape, data in tensors:
            if data is None:
                file.seek(hole_bytes(word, shape), os.SEEK_CUR)
            else:
                file.write(data)
        file.truncate(start + offset)
    return path


def hole_bytes(word, shape):
    bits = {"F64": 64, "I64": 64, "F32": 32, "I32": 32, "F16": 16, "BF16": 16}.get(word, 8)
    count = 1
    for dimension in shape:
        count *= dimension
    return count * bits // 8


def array(name, value):
    """A numpy array as a tensor of a file."""
    return name, WORDS[value.dtype.name], value.shape, numpy.ascontiguousarray(value).tobytes()


def numbers(seed, shape, dtype="float16"):
    """Values that differ from tensor to tensor."""
    return numpy.random.default_rng(seed).standard_normal(shape).astype(dtype)


def plain(path, count=3, total_bytes=None):
    """count small F32 tensors; with total_bytes one hole makes the file about that large without taking disk."""
    tensors = [array(f"layer.{at}.weight", numbers(at, (4, at + 1), "float32")) for at in range(count)]
    if total_bytes:
        used = sum(len(data) for _, _, _, data in tensors)
        tensors.append(("hole.weight", "U8", (total_bytes - used,), None))
    return write(path, tensors)


def many(path, count, total_bytes):
    """count equal F16 tensors that are holes: a large model to look at, not to read."""
    each = total_bytes // count // 2
    return write(path, [(f"model.layers.{at // 10}.part.{at % 10}.weight", "F16", (each,), None) for at in range(count)])


def word(path, data):
    """A file that is no safetensors."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def gguf(path, tensors, split=None):
    """tensors: (name, elements) of F16. split: (number from 0, count, tensors of all files)."""
    def text(letters):
        return struct.pack("<Q", len(letters)) + letters.encode()
    pairs = [text("general.architecture") + struct.pack("<I", 8) + text("flux")]
    if split:
        pairs += [text("split." + key) + struct.pack("<IH" if number == 2 else "<II", number, value)
                  for key, number, value in (("no", 2, split[0]), ("count", 2, split[1]), ("tensors.count", 5, split[2]))]
    infos, data = b"", b""
    for at, (name, elements) in enumerate(tensors):
        data += bytes(-len(data) % 32)
        infos += text(name) + struct.pack("<IQIQ", 1, elements, 1, len(data))
        data += numbers(at, (elements,)).tobytes()
    top = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) + infos
    return word(path, top + bytes(-len(top) % 32) + data + bytes(-len(data) % 32))


def diffusers_sd1(folder, variants=("", "fp16")):
    """A diffusers folder of SD-1 in small: the unet in these variants (tensors are called as they are), the text encoder plain, the
    vae in the first variant that has a label, a tokenizer and a scheduler."""
    def put(part, stem, variant):
        os.makedirs(os.path.join(folder, part), exist_ok=True)
        name = f"{stem}.{variant}.safetensors" if variant else f"{stem}.safetensors"
        dtype = "float16" if variant else "float32"
        return write(os.path.join(folder, part, name), [array(f"{part}.{variant or 'plain'}.{at}", numbers(at, (3, at + 1), dtype))
                                                        for at in range(2)])
    for variant in variants:
        put("unet", "diffusion_pytorch_model", variant)
    put("text_encoder", "model", "")
    put("vae", "diffusion_pytorch_model", next((one for one in variants if one), ""))
    for name, data in (("model_index.json", b'{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}'),
                       ("tokenizer/vocab.json", b'{"a": 0}'), ("tokenizer/merges.txt", b"#version: 0.2\n"),
                       ("scheduler/scheduler_config.json", b'{"beta_start": 0.00085}'), ("unet/config.json", b"{}")):
        word(os.path.join(folder, name), data)
    return folder


def onnx_sd1(folder):
    """An ONNX pipeline: its parts are files that nobody here looks into."""
    for name, data in (("model_index.json", b'{"_class_name": "OnnxStableDiffusionPipeline", "unet": ["diffusers", "OnnxRuntimeModel"]}'),
                       ("unet/model.onnx", b"\x08\x07" + bytes(range(200))), ("unet/weights.pb", bytes(5000)),
                       ("vae_decoder/model.onnx", b"\x08\x08" + bytes(300)), ("tokenizer/vocab.json", b'{"a": 0}')):
        word(os.path.join(folder, name), data)
    return folder


def ip_adapter(folder, safetensors=False):
    """An IP-Adapter in InvokeAI's form: the weights, and the name of its image encoder."""
    word(os.path.join(folder, "image_encoder.txt"), b"InvokeAI/ip_adapter_sd_image_encoder\n")
    if safetensors:
        write(os.path.join(folder, "ip_adapter.safetensors"), [array("image_proj.proj.weight", numbers(1, (4, 3))),
                                                               array("ip_adapter.1.to_k_ip.weight", numbers(2, (5, 3)))])
    else:
        word(os.path.join(folder, "ip_adapter.bin"), b"PK\x03\x04 a pickle in a zip" + bytes(100))
    return folder


# (name in the U-Net, output width, input width) of the attention projections of Stable Diffusion 1 that LoRAs change
SD1_BLOCKS = [("down_blocks_0_attentions_0", 320), ("down_blocks_1_attentions_0", 640), ("down_blocks_2_attentions_1", 1280),
              ("mid_block_attentions_0", 1280), ("up_blocks_1_attentions_2", 1280), ("up_blocks_3_attentions_1", 320)]


def lora_sd1(path, rank=8, blocks=SD1_BLOCKS, metadata=None):
    """A LoRA for SD-1 in the form of kohya's trainer: lora_unet_…, with alpha; 768 is the width of its text encoder."""
    tensors = []
    for index, (block, width) in enumerate(blocks):
        for part, (out, into) in {"attn1_to_q": (width, width), "attn2_to_k": (width, 768), "attn2_to_v": (width, 768)}.items():
            name = f"lora_unet_{block}_transformer_blocks_0_{part}"
            seed = index * 10 + len(part)
            tensors += [array(name + ".alpha", numpy.float16(rank)),
                        array(name + ".lora_down.weight", numbers(seed, (rank, into))),
                        array(name + ".lora_up.weight", numbers(seed + 1, (out, rank)))]
    for layer in range(2):
        name = f"lora_te_text_model_encoder_layers_{layer}_mlp_fc1"
        tensors += [array(name + ".alpha", numpy.float16(rank)),
                    array(name + ".lora_down.weight", numbers(layer, (rank, 768))),
                    array(name + ".lora_up.weight", numbers(layer + 7, (3072, rank)))]
    return write(path, tensors, metadata or {"ss_network_module": "networks.lora", "ss_network_dim": str(rank)})


def main_sd1(path):
    """The skeleton of a single-file SD-1: its three parts by their real prefixes, each tensor cut down to a corner."""
    names = ["model.diffusion_model.input_blocks.0.0.weight",
             "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight",
             "model.diffusion_model.out.2.bias",
             "first_stage_model.encoder.conv_in.weight", "first_stage_model.decoder.conv_out.bias",
             "cond_stage_model.transformer.text_model.embeddings.position_ids",
             "cond_stage_model.transformer.text_model.final_layer_norm.weight"]
    return write(path, [array(name, numbers(at, (3, at + 2))) for at, name in enumerate(names)])


def lora_sd1_modules():
    """Every module of Stable Diffusion 1 that kohya's trainer touches, as (name, out, in): 16 attention blocks, 12 text layers."""
    blocks = [(f"down_blocks_{at}_attentions_{n}", width) for at, width in enumerate((320, 640, 1280)) for n in range(2)]
    blocks += [("mid_block_attentions_0", 1280)]
    blocks += [(f"up_blocks_{at + 1}_attentions_{n}", width) for at, width in enumerate((1280, 640, 320)) for n in range(3)]
    for block, width in blocks:
        inner = f"lora_unet_{block}_transformer_blocks_0_"
        yield f"lora_unet_{block}_proj_in", width, width
        for part, into in (("attn1_to_q", width), ("attn1_to_k", width), ("attn1_to_v", width), ("attn1_to_out_0", width),
                           ("attn2_to_q", width), ("attn2_to_k", 768), ("attn2_to_v", 768), ("attn2_to_out_0", width)):
            yield inner + part, width, into
        yield inner + "ff_net_0_proj", 8 * width, width
        yield inner + "ff_net_2", width, 4 * width
        yield f"lora_unet_{block}_proj_out", width, width
    for layer in range(12):
        name = f"lora_te_text_model_encoder_layers_{layer}_"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield name + "self_attn_" + part, 768, 768
        yield name + "mlp_fc1", 3072, 768
        yield name + "mlp_fc2", 768, 3072


def lora_sd1_whole(path, megabytes):
    """A LoRA over every module, its rank chosen so that the file is about that large."""
    modules = list(lora_sd1_modules())
    rank = max(1, int(megabytes * 1e6 / (2 * sum(out + into for _, out, into in modules))))
    random = numpy.random.default_rng(1)
    tensors = []
    for name, out, into in modules:
        tensors += [array(name + ".alpha", numpy.float16(rank)),
                    array(name + ".lora_down.weight", random.standard_normal((rank, into), "float32").astype("float16")),
                    array(name + ".lora_up.weight", random.standard_normal((out, rank), "float32").astype("float16"))]
    return write(path, tensors, {"ss_network_module": "networks.lora", "ss_network_dim": str(rank)})


def read_safetensors(path):
    """name -> (dtype word, shape, bytes): a second reader, to check the first by."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        found = {}
        for name, row in header.items():
            if name != "__metadata__":
                begin, end = row["data_offsets"]
                file.seek(8 + size + begin)
                found[name] = (row["dtype"], row["shape"], file.read(end - begin))
    return found


if __name__ == "__main__":
    import sys
    if len(sys.argv) != 4 or sys.argv[1] != "lora":
        sys.exit("usage: make_models.py lora FILE MEGABYTES")
    lora_sd1_whole(sys.argv[2], float(sys.argv[3]))
