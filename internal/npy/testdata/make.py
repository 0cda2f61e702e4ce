"""Writes python.npz with NumPy: every type, versions 1 to 3 of the format, C and Fortran order; and python.json with
the shapes and the values that a reader must return (floats as float32 bit patterns).

    python3 make.py        (needs numpy)
"""
import io
import json
import pathlib
import zipfile

import numpy as np

here = pathlib.Path(__file__).parent
floats = [0.0, -0.0, 1.0, -2.5, 1 / 3, 65504.0]
ints = [0, 1, -1, 127, -128, 5]
grid = np.arange(24, dtype="<f4").reshape(2, 3, 4) / 3
arrays = {
    "f2": np.array(floats + [2.0**-24], "<f2"),
    "f4": np.array(floats, "<f4").reshape(2, 3),
    "f8": np.array(floats + [1 + 2.0**-24, 1 + 3 * 2.0**-24], "<f8"),
    "i1": np.array(ints, "i1"),
    "i2": np.array(ints, "<i2"),
    "i4": np.array(ints, "<i4").reshape(3, 1, 2),
    "i8": np.array(ints + [2**62, -(2**63)], "<i8"),
    "u1": np.array([0, 255], "u1"),
    "u2": np.array([0, 65535], "<u2"),
    "u4": np.array([0, 2**32 - 1], "<u4"),
    "u8": np.array([0, 2**63 - 1], "<u8"),
    "b1": np.array([True, False, True]),
    "scalar": np.array(7.25, "<f4"),
    "empty": np.zeros((0, 4), "<f4"),
    "long": np.zeros((1000000, 0), "<i8"),
    "grid": grid,
    "fortran": np.asfortranarray(grid),
    "fortran_matrix": np.asfortranarray(np.array(ints, "<i4").reshape(2, 3)),
    "version2": grid,
    "version3": np.asfortranarray(grid),
}
# Shapes whose headers fill the padding of 64 bytes exactly, or but for one byte.
for k in range(2, 40):
    for last in (1, 10):
        shape = (0,) + (1,) * k + (last,)
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}" + " " * 20
        if (10 + len(head) + 1) % 64 in (0, 1, 63):
            arrays[f"pad{(10 + len(head) + 1) % 64}"] = np.zeros(shape, "<f4")
assert {"pad0", "pad1", "pad63"} <= arrays.keys()
want = {}
with zipfile.ZipFile(here / "python.npz", "w", zipfile.ZIP_DEFLATED) as z:
    for name, a in arrays.items():
        b = io.BytesIO()
        version = {"version2": (2, 0), "version3": (3, 0)}.get(name, (1, 0))
        np.lib.format.write_array(b, a, version=version)
        z.writestr(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), b.getvalue(), zipfile.ZIP_DEFLATED)
        flat = a.reshape(-1)
        values = {"float32_bits": flat.astype("<f4").view("<u4")} if a.dtype.kind == "f" else {"int64": flat.astype("<i8")}
        want[name] = {"shape": list(a.shape)} | {k: v.tolist() for k, v in values.items()}
lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in want.items()]
(here / "python.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
