"""Makes this folder's files with PyTorch: python make.py FOLDER. cases.json holds what is in cases.pt."""
import collections, json, os, pickle, subprocess, sys, zipfile
import torch

out = sys.argv[1]
base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
tensors = {
    "f64": base.double() / 3, "f32": base, "f16": base.half(), "bf16": base.bfloat16(),
    "i64": torch.tensor([-(2**62), 5]), "i32": torch.tensor([-7, 2**31 - 1], dtype=torch.int32),
    "i16": torch.tensor([-300, 12], dtype=torch.int16), "i8": torch.tensor([-128, 127], dtype=torch.int8),
    "u8": torch.tensor([0, 255], dtype=torch.uint8), "bool": torch.tensor([True, False, True]),
    "transposed": base.T, "view": base[1:3, ::2], "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
    "count": torch.tensor(9, dtype=torch.int), "permuted": torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
}
plain = {"none": None, "true": True, "false": False, "int": 70000, "negative": -3, "long": -(2**40), "float": 0.1, "text": "W_enc é", "bytes": None,
         "list": [1, [2, "x"]], "tuple": (1, (2,)), "empty_list": [], "empty_dict": {}, "dict": {"a": 1, "nested": {"b": [3]}}}
tree = {"tensors": tensors, "plain": plain, "ordered": collections.OrderedDict(a=1, b=2), "size": base.shape, "dtype": torch.bfloat16,
        "device": torch.device("cpu"), "shared": [tensors["f32"], tensors["f32"]], 3: "int key"}
torch.save(tree, os.path.join(out, "cases.pt"))
torch.save(tree, os.path.join(out, "cases_protocol4.pt"), pickle_protocol=4)
with open(os.path.join(out, "cases.json"), "w") as f:
    json.dump({"tensors": {k: {"shape": list(v.shape), "values": v.double().flatten().tolist() if v.is_floating_point() else [int(i) for i in v.flatten()]} for k, v in tensors.items()},
               "plain": plain}, f, indent=1, sort_keys=True)
m = torch.nn.Linear(3, 2)
torch.manual_seed(0)
torch.save({"weight": torch.nn.Parameter(torch.ones(2, 3)), "state": m.state_dict()}, os.path.join(out, "parameter.pt"))
torch.save({"a": torch.ones(2)}, os.path.join(out, "legacy.pt"), _use_new_zipfile_serialization=False)
torch.save(m, os.path.join(out, "module.pt"))


class Run:
    def __reduce__(self):
        return (os.system, ("touch loupe_was_here",))


torch.save({"a": Run()}, os.path.join(out, "system.pt"))
torch.save({"e": torch.ones(1).expand(1000)}, os.path.join(out, "expanded.pt"))
