"""SAELens's gated and Matryoshka training steps, as further cases of sae_train.py.

The folder of the peers' scripts has to be in PYTHONPATH: data, clock and output are theirs.
"""

import sys

import peerlib
import sae_train

PEERS = ["saelens-gated", "saelens-matryoshka"]


def run(peer, c, args):
    from sae_lens import (
        GatedTrainingSAE,
        GatedTrainingSAEConfig,
        MatryoshkaBatchTopKTrainingSAE,
        MatryoshkaBatchTopKTrainingSAEConfig,
    )
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    peerlib.torch_setup(args)
    base = dict(d_in=c["d"], d_sae=c["F"], dtype="float32", device=args.device)
    if peer == "saelens-gated":
        sae = GatedTrainingSAE(GatedTrainingSAEConfig(**base))
    else:
        widths = [c["F"] // n for n in (16, 8, 4, 2, 1)]
        sae = MatryoshkaBatchTopKTrainingSAE(
            MatryoshkaBatchTopKTrainingSAEConfig(k=float(c["k"]), matryoshka_widths=widths, **base)
        )
    feed = peerlib.Feed(args, sae_train.rows(args, c["d"]), c["B"])
    cfg = SAETrainerConfig(
        total_training_samples=c["B"] * 1_000_000, train_batch_size_samples=c["B"], lr_end=3e-5, device=args.device
    )
    try:
        SAETrainer(cfg=cfg, sae=sae, data_provider=feed).fit()
    except peerlib.TimeUp:
        pass
    return {"version": peerlib.versions("sae-lens", "torch"), **feed.result()}


if __name__ == "__main__":
    p = peerlib.parser(__doc__, seconds=20)
    p.add_argument("--shapes", default="small,gpt2", help=f"of {','.join(sae_train.SHAPES)}")
    p.add_argument("--rows", type=int, default=65536)
    a = p.parse_args()
    cases = [(peer, dict(sae_train.SHAPES[s])) for s in a.shapes.split(",") for peer in PEERS]
    sys.exit(peerlib.main("sae_train", a, cases, run))
