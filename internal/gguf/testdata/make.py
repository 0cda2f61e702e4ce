"""Writes the data that gguf's tests compare with, by the reference Python package gguf (0.19.0) and numpy.

    python3 make.py [SmolLM2-135M-Instruct.Q4_1.gguf]

types.gguf          a tensor of every storage type that is read, two that are not, and a metadata key of every type
types.safetensors   the float32 values of those tensors, as gguf.quants.dequantize gives them
smollm2.json        for each tensor of the model: type, shape, first values and the SHA-256 of all its float32 values
"""
import hashlib
import json
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(7)


def random_blocks(kind, rows, cols):
    """Random bytes; every half-precision scale is replaced by a finite one, so that values are finite."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    b = rng.integers(0, 256, (rows, cols // block, size), dtype=np.uint8)
    scale_at = {Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}[kind]
    for at in scale_at:
        scale = rng.normal(0, 0.01, b.shape[:2]).astype(np.float16)
        b[:, :, at : at + 2] = scale[..., None].view(np.uint8)
    return b.reshape(rows, -1)


def types():
    w = gguf.GGUFWriter(here / "types.gguf", "test")
    w.add_uint8("k.uint8", 255)
    w.add_int8("k.int8", -128)
    w.add_uint16("k.uint16", 65535)
    w.add_int16("k.int16", -32768)
    w.add_uint32("k.uint32", 2**32 - 1)
    w.add_int32("k.int32", -(2**31))
    w.add_uint64("k.uint64", 2**63 - 1)
    w.add_uint64("k.uint64.big", 2**63)
    w.add_int64("k.int64", -(2**63))
    w.add_float32("k.float32", 0.1)
    w.add_float64("k.float64", 0.1)
    w.add_bool("k.bool", True)
    w.add_string("k.string", "naïve\n")
    w.add_array("k.strings", ["a", "", "ü"])
    w.add_array("k.int32s", [1, -2, 3])
    w.add_array("k.float32s", [0.5, -1.25])
    w.add_array("k.bools", [True, False])
    w.add_array("k.bytes", bytes([1, 2, 255]))
    expect = {}
    x = rng.normal(0, 1, (3, 64)).astype(np.float32)
    x[0, :4] = [0, -0.0, 65504, 1e-7]
    w.add_tensor("F32", x)
    w.add_tensor("F16", x.astype(np.float16))
    w.add_tensor("F64", x.astype(np.float64) / 3)
    expect |= {"F32": x, "F16": x.astype(np.float16).astype(np.float32), "F64": (x.astype(np.float64) / 3).astype(np.float32)}
    for kind in [Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0]:
        raw = quants.quantize(rng.normal(0, 1, (3, 64)).astype(np.float32), kind)
        w.add_tensor(kind.name, raw, raw_dtype=kind)
        expect[kind.name] = quants.dequantize(raw, kind)
    for kind in [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K]:
        raw = random_blocks(kind, 2, 512)
        w.add_tensor(kind.name, raw, raw_dtype=kind)
        expect[kind.name] = quants.dequantize(raw, kind)
    w.add_tensor("unread.I32", np.arange(6, dtype=np.int32).reshape(2, 3))
    w.add_tensor("unread.TQ1_0", quants.quantize(rng.normal(0, 1, (1, 256)).astype(np.float32), Type.TQ1_0), raw_dtype=Type.TQ1_0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    save_file({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in expect.items()}, here / "types.safetensors")


def smollm2(path):
    tensors = {}
    for t in gguf.GGUFReader(path).tensors:
        values = np.ascontiguousarray(quants.dequantize(t.data, t.tensor_type), dtype="<f4")
        tensors[t.name] = {
            "type": t.tensor_type.name,
            "shape": [int(d) for d in reversed(t.shape)],
            "first": [float(v) for v in values.reshape(-1)[:3]],
            "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
        }
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in tensors.items()]
    (here / "smollm2.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


types()
if len(sys.argv) > 1:
    smollm2(sys.argv[1])
