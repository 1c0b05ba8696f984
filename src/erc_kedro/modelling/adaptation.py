"""The encoder adapted: fine-tuned on labelled utterances before it encodes anything.

On the synthetic dialogues that is supplementary training on labelled data of a related kind before
the target's own (Phang et al., 2018, "Sentence Encoders on STILTs", section 2): there can be many
of them, and no real label is spent. On real ones it is a classifier's own encoder.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.progress import counting
from erc_kedro.modelling.batches import LENGTH_STEP, Part, batches_of, of_utterances, round_up
from erc_kedro.modelling.devices import computing_in
from erc_kedro.modelling.encoders import load_pretrained
from erc_kedro.modelling.products import learn_fast
from erc_kedro.modelling.settings import AdaptationSettings
from erc_kedro.modelling.threads import on_one_thread, seeded, side_by_side, usable_cores

Gradients = tuple[torch.Tensor, ...]

_PARTS = 2
"""On a CPU each batch is worked on in so many parts, on any number of cores: every bit stays."""


def adapt(
    encoder: str,
    rows: pd.DataFrame,
    label_set: LabelSet,
    how: AdaptationSettings,
    device: torch.device,
    watch: Callable[[int], None] | None = None,
) -> tuple[Any, Any]:
    """Train an encoder to tell the emotion of single utterances.

    Dropout is off: it would draw from torch's one random state, in whatever order the parts of a
    batch happen to come. The weights are rounded to half precision, as they are kept.

    Args:
        encoder: "embedded", a hub name, or a folder.
        rows: Labelled utterances.
        label_set: Of the corpus.
        how: The settings.
        device: Where to compute.
        watch: Is told of every step, with 0: it may raise to stop the training.

    Returns:
        Tokenizer and model (float16, on the CPU).

    Raises:
        UserError: If the encoder cannot be loaded, or all its layers are frozen.
        FloatingPointError: If the loss is not a finite number.
    """
    tokenizer, model = load_pretrained(encoder)
    texts = tokenizer(rows["text"].tolist(), truncation=True, max_length=how.max_tokens)
    ids, pad = texts["input_ids"], tokenizer.pad_token_id
    codes = torch.from_numpy(label_set.codes(rows["emotion"]))
    counts = label_set.counts(rows["emotion"]) + 1.0
    class_weights = torch.tensor((counts.sum() / counts) ** how.class_weight_power).float()
    wanted, weights = codes.to(device), class_weights.to(device)
    steps = min(how.epochs * -(-len(ids) // how.batch_utterances), how.most_steps)
    one_pass = of_utterances([len(own) for own in ids], how.batch_utterances, how.seed)
    batches = batches_of([Part(np.arange(len(ids)), steps)], one_pass)

    on_cpu = device.type == "cpu"
    n_parts = _PARTS if on_cpu else 1

    def gradients(part: list[int], total: float) -> tuple[Gradients, torch.Tensor]:
        """Return the part's share of the gradients and of the loss of its batch."""
        longest = round_up(max(len(ids[i]) for i in part), LENGTH_STEP)
        tokens = torch.tensor([ids[i] + [pad] * (longest - len(ids[i])) for i in part])
        mask = torch.tensor([[1] * len(ids[i]) + [0] * (longest - len(ids[i])) for i in part])
        tokens, mask = tokens.to(device), mask.to(device)
        with computing_in(how.precision, device):
            hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state
            kept = mask[..., None].to(hidden.dtype)
            logits = classify((hidden * kept).sum(1) / kept.sum(1))
        own = F.cross_entropy(logits.float(), wanted[part], weight=weights, reduction="sum")
        loss = own / total
        return torch.autograd.grad(loss, learnt), loss.detach()

    with (
        on_one_thread(),
        side_by_side(min(usable_cores(), n_parts)) as pool,
        counting("adapting the encoder", steps, "steps") as advance,
    ):
        with seeded(how.seed):
            classify = nn.Linear(model.config.hidden_size, len(label_set)).to(device)
        model.to(device).eval()
        learn_fast(model, device)
        groups = [_learnt(model, how.frozen_layers), list(classify.parameters())]
        learnt = [own for group in groups for own in group]
        rates = zip(groups, (how.learning_rate, how.head_learning_rate), strict=True)
        optimiser = torch.optim.AdamW(
            [{"params": group, "lr": rate} for group, rate in rates],
            weight_decay=how.weight_decay,
            fused=True,
        )
        rising = max(1, round(how.warmup * steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda step: min((step + 1) / rising, (steps - step) / max(1, steps - rising)),
        )
        losses = torch.zeros((), dtype=torch.float64, device=device)
        for step, batch in enumerate(batches, 1):
            total = float(class_weights[codes[batch]].sum())
            parts = [own for k in range(n_parts) if (own := batch[k::n_parts].tolist())]
            found = list(pool.map(gradients, parts, [total] * len(parts)))
            losses += sum(loss for _, loss in found)  # finite as long as each of them is
            if (on_cpu or step == steps) and not losses.isfinite():  # to ask a GPU is to wait
                raise FloatingPointError("the loss is not a finite number")
            for parameter, *of_parts in zip(learnt, *(own for own, _ in found), strict=True):
                parameter.grad = sum(of_parts[1:], of_parts[0])
            nn.utils.clip_grad_norm_(learnt, how.clip_norm)
            optimiser.step()
            schedule.step()
            advance(1)
            if watch is not None:
                watch(0)
    return tokenizer, model.cpu().half()


def _learnt(model: Any, frozen_layers: int) -> list[nn.Parameter]:
    """Return the parameters that are trained: not those of the first layers, nor below them.

    What no output depends on, such as a pooler, is left out too.

    Raises:
        UserError: If none is left.
    """
    kept = []
    for name, parameter in model.named_parameters():
        layer = re.search(r"\blayers?\.(\d+)\.", name)
        lower = int(layer[1]) < frozen_layers if layer else "embed" in name and frozen_layers > 0
        if lower or name.startswith("pooler."):
            parameter.requires_grad_(False)
        else:
            kept.append(parameter)
    if not kept:
        raise UserError(
            "Nothing of the encoder is left to adapt.",
            where="adaptation.frozen_layers",
            expected=f"fewer than its {model.config.num_hidden_layers} layers",
            found=str(frozen_layers),
            remedy="lower it, or ask for no such encoder (adapted, own_encoder: false)",
        )
    return kept
