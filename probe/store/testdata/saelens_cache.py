"""Make testdata/saelens: a cached-activation folder written by SAELens's own runner from a tiny random model.

    python saelens_cache.py DIR

Needs sae-lens (made with 6.54.12), transformer-lens and torch. Beside the folder it writes DIR.json with the same
numbers as plain lists, read back through Hugging Face datasets, for the test to compare with.
"""

import json
import pathlib
import shutil
import sys

import datasets
import torch
from sae_lens import cache_activations_runner as runner
from sae_lens.config import CacheActivationsRunnerConfig
from transformer_lens import HookedTransformer, HookedTransformerConfig

out = pathlib.Path(sys.argv[1])
shutil.rmtree(out, ignore_errors=True)
torch.manual_seed(0)
model = HookedTransformer(
    HookedTransformerConfig(n_layers=2, d_model=6, n_ctx=8, d_head=3, n_heads=2, d_mlp=8, d_vocab=50, act_fn="gelu", device="cpu", seed=0)
)
runner.load_model = lambda **kwargs: model
hook = "blocks.1.hook_resid_pre"
ids = torch.randint(0, 50, (24, 8), generator=torch.Generator().manual_seed(1))
dataset = datasets.Dataset.from_dict({"tokens": ids.tolist()})
cfg = CacheActivationsRunnerConfig(
    dataset_path="made", model_name="tiny", model_batch_size=4, hook_name=hook, d_in=6, context_size=8, training_tokens=12 * 8,
    new_cached_activations_path=str(out), prepend_bos=False, dtype="float32", device="cpu", buffer_size_gb=4 * 8 * 6 * 4 / 1e9,
    streaming=False, shuffle=False,
)
ds = runner.CacheActivationsRunner(cfg, override_dataset=dataset).run()
ds = datasets.load_from_disk(str(out))
rows = ds.with_format(None)[:]
out.with_suffix(".json").write_text(json.dumps({"hook": hook, "acts": rows[hook], "token_ids": rows["token_ids"]}))
