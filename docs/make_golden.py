#!/usr/bin/env python3
"""Make the golden file that `loupe model check MODEL_DIR GOLDEN` reads, for a Hugging Face model folder.

    python make_golden.py MODEL_DIR OUT [--seed 0] [--length 12] [--rows 3]

The model runs in transformers: eager attention, float32, eval mode, CPU, on random token ids. The tensors and their
names are described in golden-models.md. Needs torch, transformers and safetensors.
"""

import argparse
import os

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, CLIPModel, CLIPTextModel, CLIPTextModelWithProjection, T5EncoderModel

DECODERS = {"gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2", "phi3"}
POST_NORM = {"gemma2", "gemma3_text", "olmo2"}  # a norm between the sub-layer and the residual stream

# Where each family keeps its blocks, the linear map that writes the attention output and the one that writes the MLP's.
LLAMA = ("layers", "self_attn.o_proj", "mlp.down_proj")
BERT = ("encoder.layer", "attention.output.dense", "output.dense")
LAYOUT = {
    **{name: LLAMA for name in DECODERS},
    "gpt2": ("h", "attn.c_proj", "mlp.c_proj"),
    "gpt_neox": ("layers", "attention.dense", "mlp.dense_4h_to_h"),
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
    "mpnet": ("encoder.layer", "attention.attn.o", "output.dense"),
    "distilbert": ("transformer.layer", "attention.out_lin", "ffn.lin2"),
    "clip_text_model": ("encoder.layers", "self_attn.out_proj", "mlp.fc2"),
    "t5": ("encoder.block", "layer.0.SelfAttention.o", "layer.1.DenseReluDense.wo"),
}
OBJECTIVE_COMPONENT = 7  # token id (decoders) or component (encoders) that the objective reads


class Reference:
    """A model with hooks at the input and output of each block's two output maps."""

    def __init__(self, folder):
        config = AutoConfig.from_pretrained(folder)
        self.project = None
        options = {"attn_implementation": "eager", "dtype": torch.float32}
        if config.model_type in DECODERS:
            self.model = AutoModelForCausalLM.from_pretrained(folder, **options)
        elif config.model_type == "t5":
            self.model = T5EncoderModel.from_pretrained(folder, **options)
        elif config.model_type == "clip":  # a whole CLIP: its text side
            whole = CLIPModel.from_pretrained(folder, **options)
            self.model, self.project = whole.text_model, whole.text_projection
            config = whole.text_model.config
        elif config.model_type == "clip_text_model":
            projected = "CLIPTextModelWithProjection" in (config.architectures or [])
            self.model = (CLIPTextModelWithProjection if projected else CLIPTextModel).from_pretrained(folder, **options)
        else:
            self.model, report = AutoModel.from_pretrained(folder, output_loading_info=True, **options)
            if any(name.startswith("pooler.") for name in report["missing_keys"]):  # it would be random
                self.model = AutoModel.from_pretrained(folder, add_pooling_layer=False, **options)
        if config.model_type not in LAYOUT:
            raise SystemExit(f"{folder}: {config.model_type} is not a family that loupe reads: {', '.join(sorted(LAYOUT))}")
        self.model.eval()
        self.config, self.kind, self.decoder = config, config.model_type, config.model_type in DECODERS
        blocks, attn, mlp = LAYOUT[self.kind]
        self.blocks = self._find(blocks)
        heads = getattr(config, "num_heads", None) or config.num_attention_heads
        self.sites, self.ablate = {}, False
        for i, block in enumerate(self.blocks):
            for path, read, write in ((attn, "attn.hook_z", "attn_out"), (mlp, "mlp.hook_post", "mlp_out")):
                self._hook(i, block.get_submodule(path), read, write, heads)

    def _find(self, path):
        for prefix in ("", "model.", "transformer.", "gpt_neox.", "text_model."):
            try:
                return self.model.get_submodule(prefix + path)
            except AttributeError:
                continue
        raise SystemExit(f"no {path} in {type(self.model).__name__}")

    def _hook(self, i, module, read, write, heads):
        attention = read == "attn.hook_z"

        def before(_, args):
            x = args[0]
            if attention:
                x = x.reshape(*x.shape[:2], heads, -1)
                if self.ablate and i == 0:
                    x = x.clone()
                    x[:, :, 1] = 0
            self._keep_gradient(x)
            self.sites[f"blocks.{i}.{read}"] = x
            return (x.reshape(args[0].shape),)

        def after(_, __, out):
            name = f"blocks.{i}.hook_{write}"
            if self.kind in POST_NORM:
                name = f"blocks.{i}.{write.replace('_', '.hook_')}"
            self.sites[name] = out

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)

    @staticmethod
    def _keep_gradient(x):
        if x.requires_grad:
            x.retain_grad()

    def run(self, inputs):
        """Returns {site or output: tensor} of one pass."""
        self.sites = {}
        out = self.model(**inputs, output_hidden_states=True, output_attentions=True)
        result = dict(self.sites)
        for name in ("logits", "last_hidden_state", "pooler_output", "text_embeds"):
            if getattr(out, name, None) is not None:
                result[name] = getattr(out, name)
        if self.project is not None:
            result["text_embeds"] = self.project(out.pooler_output)
        for i, x in enumerate(out.attentions):
            result[f"blocks.{i}.attn.hook_pattern"] = x
        for i, x in enumerate(out.hidden_states[: len(self.blocks)]):
            result[f"blocks.{i}.hook_resid_pre"] = x
            self._keep_gradient(x)
        result["hidden_states"] = torch.stack(list(out.hidden_states))
        return result

    def objective(self, result, mask):
        """The sum over rows of one logit at the last real token; encoders: of one component of their final output."""
        rows = torch.arange(mask.shape[0])
        last = (mask * torch.arange(mask.shape[1])).argmax(1)
        if self.decoder:
            return result["logits"][rows, last, OBJECTIVE_COMPONENT].sum()
        for name in ("text_embeds", "pooler_output"):
            if name in result:
                return result[name][:, OBJECTIVE_COMPONENT].sum()
        return result["last_hidden_state"][rows, last, OBJECTIVE_COMPONENT].sum()


def make_inputs(ref, rows, length, seed):
    """Returns the cases {name: inputs}: no padding, padding on the right and, for decoders, on the left."""
    config, random = ref.config, torch.Generator().manual_seed(seed)
    special = set()
    for name in ("pad", "bos", "eos"):
        value = getattr(config, f"{name}_token_id", None)
        special.update(value if isinstance(value, list) else [value])
    plain = torch.tensor([i for i in range(min(config.vocab_size, 1 << 16)) if i not in special])
    ids = plain[torch.randint(len(plain), (rows, length), generator=random)]
    pad = config.pad_token_id if config.pad_token_id is not None and 0 <= config.pad_token_id < config.vocab_size else 0
    lengths = [max(length - 3 * r, 2) for r in range(rows)]
    mask = torch.zeros(rows, length, dtype=torch.long)
    for r, n in enumerate(lengths):
        mask[r, :n] = 1
    right = torch.where(mask == 1, ids, torch.full_like(ids, pad))
    if ref.kind == "clip_text_model":  # the pooled token ends each row; 2 stands for the largest id
        eos = config.vocab_size - 1 if config.eos_token_id == 2 else config.eos_token_id
        ids[:, -1] = eos
        for r, n in enumerate(lengths):
            right[r, n - 1] = eos
    ones = torch.ones_like(mask)
    cases = {"nopad": {"input_ids": ids, "attention_mask": ones}, "rightpad": {"input_ids": right, "attention_mask": mask}}
    if getattr(config, "type_vocab_size", 0) > 1 and ref.kind == "bert":
        for case in cases.values():
            case["token_type_ids"] = (torch.arange(length) >= length // 2).long().expand(rows, length).contiguous()
    if ref.decoder:
        left = torch.full_like(ids, pad)
        for r, n in enumerate(lengths):
            left[r, length - n :] = right[r, :n]
        cases["leftpad"] = {"input_ids": left, "attention_mask": mask.flip(1)}
        cases["leftpad"]["position_ids"] = (cases["leftpad"]["attention_mask"].cumsum(1) - 1).clamp(min=0)
    return cases


def greedy(ref, inputs, steps):
    """Greedy tokens [rows, steps] from repeated passes without a cache and without a stop token."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    for _ in range(steps):
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = ref.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], 1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
    return ids[:, -steps:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="Hugging Face model folder")
    parser.add_argument("out", help="golden.safetensors to write, or a folder for it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--length", type=int, default=12)
    parser.add_argument("--rows", type=int, default=3)
    args = parser.parse_args()

    ref = Reference(args.model)
    cases = make_inputs(ref, args.rows, args.length, args.seed)
    tensors = {}
    for case, inputs in cases.items():
        tensors.update({f"{case}.{name}": x for name, x in inputs.items()})
        with torch.no_grad():
            tensors.update({f"{case}.{name}": x for name, x in ref.run(inputs).items()})

    right = cases["rightpad"]
    result = ref.run(right)
    objective = ref.objective(result, right["attention_mask"])
    objective.backward()
    tensors["grad.rightpad.objective"] = objective.reshape(1)
    for name, x in result.items():
        if name.endswith(("hook_resid_pre", "attn.hook_z", "mlp.hook_post")):
            tensors[f"grad.rightpad.{name}"] = x.grad

    with torch.no_grad():
        ref.ablate = True
        output = "logits" if ref.decoder else "last_hidden_state"
        tensors[f"ablate.nopad.{output}"] = ref.run(cases["nopad"])[output]
        ref.ablate = False
        if ref.decoder:
            for case in ("nopad", "leftpad"):
                tensors[f"generate.{case}.tokens"] = greedy(ref, cases[case], 8)

    out = os.path.join(args.out, "golden.safetensors") if os.path.isdir(args.out) else args.out
    save_file({name: x.detach().contiguous().clone() for name, x in tensors.items()}, out)
    print(f"{out}: {len(tensors)} tensors, cases {', '.join(cases)}")


if __name__ == "__main__":
    main()
