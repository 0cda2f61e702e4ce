"""Writes python.safetensors with the reference implementation, and python.json with the values that a reader must return.

    python3 make.py        (needs numpy, torch and safetensors)
"""
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
floats = [0.0, -0.0, 1.0, -2.5, 1 / 3, 65504.0]
ints = [0, 1, -1, 127, -128, 5]
tensors = {
    "f64": torch.tensor(floats + [1 + 2.0**-24, 1 + 3 * 2.0**-24, 1e300], dtype=torch.float64),
    "f32": torch.tensor(floats, dtype=torch.float32).reshape(2, 3),
    "f16": torch.tensor(floats + [2.0**-24, 2.0**-14], dtype=torch.float16),
    "bf16": torch.tensor(floats + [1e38, 1e-40], dtype=torch.bfloat16),
    "i64": torch.tensor(ints + [2**62, -(2**63)], dtype=torch.int64),
    "i32": torch.tensor(ints, dtype=torch.int32).reshape(3, 1, 2),
    "i16": torch.tensor(ints, dtype=torch.int16),
    "i8": torch.tensor(ints, dtype=torch.int8),
    "u8": torch.tensor([0, 1, 255], dtype=torch.uint8),
    "u16": torch.tensor([0, 1, 65535], dtype=torch.uint16),
    "u32": torch.tensor([0, 1, 2**32 - 1], dtype=torch.uint32),
    "u64": torch.tensor([0, 1, 2**63 - 1], dtype=torch.uint64),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(7.25),
    "empty": torch.zeros(0, 4),
    'odd name: é "quoted" <&> \n': torch.tensor([1.0]),
}
save_file(tensors, here / "python.safetensors", metadata={"format": "pt"})

# The type of each tensor as the format names it, and its values: integers as such, floats as float32 bit patterns,
# because JSON has no way to write a float32 exactly that all readers agree on.
want = {}
for name, t in tensors.items():
    entry = {"shape": list(t.shape)}
    if t.is_floating_point():
        with np.errstate(over="ignore"):
            values = t.double().numpy().astype(np.float32).reshape(-1)
        entry["float32_bits"] = [int(v) for v in values.view(np.uint32)]
    else:
        entry["int64"] = [int(v) for v in t.reshape(-1).tolist()]
    want[name] = entry
(here / "python.json").write_text(json.dumps(want, indent=1) + "\n")
