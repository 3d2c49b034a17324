"""Trains snug-nano: an InternVL-shaped model (Hugging Face classes) that reads docgen's pages.

Stage 1 teaches the vision tower and projector to name the characters under every visual token
(dense supervision); stage 2 trains everything to answer the extraction prompt. Both resume from
OUT/state.pt and stop at their time budget. Runs on a CPU or a GPU.

    python train.py tokenizer OUT
    python train.py vision OUT --minutes 40
    python train.py joint OUT --minutes 100
    python train.py eval OUT --docs 50
    python train.py export OUT DIR

Needs torch, transformers, tokenizers, pillow, numpy and docgen's fonts: README.md.

Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
"""

import argparse, json, math, os, random, sys, time
import numpy as np
import torch
from torch import nn
import docgen

HINT = {
    "ABN": "11 digits",
    "INVOICE_DATE": "DD/MM/YYYY",
    "DUE_DATE": "DD/MM/YYYY",
    "STATEMENT_PERIOD": "from to",
    "QUANTITIES": "list, separated by |",
    "PRICES": "list, separated by |",
    "DESCRIPTIONS": "list, separated by |",
    "TOTAL": "amount including GST",
    "SUBTOTAL": "amount before GST",
    "DOCUMENT_TYPE": "TAX INVOICE, RECEIPT or BANK STATEMENT",
}
HEAD = (
    "Extract the following fields from this business document.\n"
    "Write one line per field, exactly as FIELD: value, in this order. "
    "Write NOT_FOUND where the document does not show the field.\n"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>"]
TOKENS = (docgen.SIZE // 28) ** 2
SLOTS, CLASSES = (
    8,
    96,
)  # per visual token: 2 rows x 4 characters; class 0 is blank, 1..95 printable ASCII
BUCKET = 32


def prompt(fields, hints):
    lines = [f + (" (%s)" % HINT[f] if hints and f in HINT else "") for f in fields]
    return HEAD + "\n".join(lines)


def answer(fields, truth):
    return "\n".join("%s: %s" % (f, truth[f]) for f in fields)


def turn(ask, tokens=TOKENS):
    return (
        "<|im_start|>user\n<img>"
        + "<IMG_CONTEXT>" * tokens
        + "</img>\n"
        + ask
        + "<|im_end|>\n<|im_start|>assistant\n"
    )


def make_tokenizer(out):
    """Byte-level BPE whose merges are prefix chains of the prompt's own words: values stay one
    character a token.
    """
    from tokenizers import (
        Tokenizer,
        Regex,
        models,
        pre_tokenizers,
        decoders,
        normalizers,
        AddedToken,
    )

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = []
    words = {"user", "assistant", "Extract", "Write"} | {
        w.strip(".,:") for w in HEAD.replace("\n", " ").split() if w.strip(".,:").isalpha()
    }
    words |= {w for h in HINT.values() for w in h.split() if w.isalpha() and w.islower()}
    for w in sorted(words):
        t = w if w in ("user", "assistant", "Extract", "Write") else "\u0120" + w
        for i in range(1, len(t)):
            if t[: i + 1] not in vocab:
                vocab[t[: i + 1]] = len(vocab)
                merges.append((t[:i], t[i]))
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    tok.add_tokens(
        [AddedToken(f, special=False, normalized=False) for f in docgen.FIELDS + [docgen.ABSENT]]
    )
    os.makedirs(out, exist_ok=True)
    tok.save(os.path.join(out, "tokenizer.json"))
    n = [len(tok.encode(answer(docgen.FIELDS, docgen.document(s)[1])).ids) for s in range(200)]
    print(
        "vocab",
        tok.get_vocab_size(),
        "answer tokens",
        sum(n) / 200,
        max(n),
        "prompt",
        len(tok.encode(prompt(docgen.FIELDS, True)).ids),
        len(tok.encode(prompt(docgen.FIELDS, False)).ids),
    )
    print(tok.encode(prompt(docgen.FIELDS[:3], True)).tokens)


def build(tok):
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    vocab = (tok.get_vocab_size() + 63) // 64 * 64
    cfg = InternVLConfig(
        vision_config=dict(
            hidden_size=192,
            num_hidden_layers=4,
            num_attention_heads=3,
            intermediate_size=768,
            image_size=[docgen.SIZE] * 2,
            patch_size=[14, 14],
            attention_bias=True,
            use_qk_norm=False,
            layer_norm_eps=1e-6,
            norm_type="layer_norm",
            use_absolute_position_embeddings=True,
            hidden_act="gelu",
            layer_scale_init_value=1.0,
            use_mean_pooling=True,
            initializer_range=0.02,
        ),
        text_config=dict(
            model_type="qwen2",
            vocab_size=vocab,
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=768,
            max_position_embeddings=4096,
            rope_theta=1000000.0,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            bos_token_id=tok.token_to_id("<|endoftext|>"),
            eos_token_id=tok.token_to_id("<|im_end|>"),
            pad_token_id=tok.token_to_id("<|endoftext|>"),
        ),
        image_token_id=tok.token_to_id("<IMG_CONTEXT>"),
        image_seq_length=TOKENS,
        downsample_ratio=0.5,
        projector_hidden_act="gelu",
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    model = InternVLForConditionalGeneration(cfg)
    side, dim = docgen.SIZE // 14, cfg.vision_config.hidden_size
    w = 1.0 / 100 ** (torch.arange(dim // 4) / (dim // 4))
    axis = torch.arange(side)[:, None] * w[None] * 1.5
    wave = torch.cat([axis.sin(), axis.cos()], 1)
    grid = torch.cat(
        [wave[:, None].expand(side, side, -1), wave[None].expand(side, side, -1)], 2
    ).reshape(side * side, dim)
    with torch.no_grad():
        model.model.vision_tower.embeddings.position_embeddings[0, 1:] = 0.3 * grid
    return model


MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def pixels(grey):
    """uint8 grey pages [B, S, S] to normalised float32 [B, 3, S, S]."""
    return (grey.float()[:, None] / 255.0 - MEAN.to(grey.device)[:, None, None]) / STD.to(
        grey.device
    )[:, None, None]


def dense_labels(rows):
    """[TOKENS, SLOTS] classes: character (y, x) of the page lies in visual token (y // 2, x // 4),
    slot (y % 2, x % 4).
    """
    grid = np.array([[max(0, ord(c) - 32) for c in row] for row in rows], np.int64)
    return (
        grid.reshape(docgen.ROWS // 2, 2, docgen.COLS // 4, 4)
        .transpose(0, 2, 1, 3)
        .reshape(TOKENS, SLOTS)
    )


def read_request(rows, r):
    """A request to read a few numbered rows, and its answer."""
    full = [i for i, t in enumerate(rows) if t.strip()]
    pick = r.sample(full, min(len(full), r.randrange(4, 11)))
    if r.random() < 0.2:
        pick.append(r.randrange(docgen.ROWS))
    r.shuffle(pick)
    return "Read lines " + " ".join("%02d" % i for i in pick), "\n".join(
        "%02d%s" % (i, rows[i].rstrip()) for i in pick
    )


class Pages(torch.utils.data.IterableDataset):
    """Endless pages: grey pixels, dense labels, and the truth as JSON. Each page is shown about
    `repeat` times.
    """

    def __init__(self, base, repeat=1):
        self.base, self.repeat = base, repeat

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        wid, n = (info.id, info.num_workers) if info else (0, 1)
        seed = self.base + wid
        pool, pick = [], random.Random(seed)
        while True:
            if len(pool) >= 256 and pick.random() > 1 / self.repeat:
                page = pool[pick.randrange(len(pool))]
            else:
                page = docgen.document(seed)
                seed += n
                if self.repeat > 1:
                    pool.append(page)
                    if len(pool) > 1024:
                        pool.pop(0)
            image, truth, rows = page
            yield np.asarray(image), dense_labels(rows), json.dumps([truth, rows])


def collate(items):
    return (
        torch.from_numpy(np.stack([i[0] for i in items])),
        torch.from_numpy(np.stack([i[1] for i in items])),
        [i[2] for i in items],
    )


def locate(truth, rows):
    """Where each character of each value is printed: {field: [(row, column) or None]}; None where
    it is not certain.
    """
    out = {}
    for f in docgen.FIELDS:
        v = truth[f]
        hits = [
            (y, x)
            for y, row in enumerate(rows)
            for x in range(docgen.COLS - len(v) + 1)
            if row.startswith(v, x)
        ]
        out[f] = (
            [(hits[0][0], hits[0][1] + i) for i in range(len(v))]
            if len(hits) == 1 and v != docgen.ABSENT
            else [None] * len(v)
        )
    head = next(
        (y for y, row in enumerate(rows) if "Qty" in row and "Item" in row or "Description" in row),
        None,
    )
    if head is None:
        return out
    for f, title in (
        ("QUANTITIES", "Qty"),
        ("PRICES", "Price"),
        ("DESCRIPTIONS", "Item" if "Qty" in rows[head] else "Description"),
    ):
        if truth[f] == docgen.ABSENT:
            continue
        at, x0 = [], rows[head].index(title)
        for k, item in enumerate(truth[f].split(" | ")):
            x = x0 + len(title) - len(item) if title == "Price" else x0
            good = rows[head + 1 + k][x : x + len(item)] == item
            at += ([None] * 3 if k else []) + [
                (head + 1 + k, x + i) if good else None for i in range(len(item))
            ]
        out[f] = at
    return out


def sequences(tok, pages, kind, r, pad):
    """Token ids, labels and print places of one batch. kind: "all" 25 fields, "some" of them in
    random order, "read" rows.

    places [B, n]: for a character of the answer, row * COLS + column of where it is printed, else
    -1.
    """
    seqs = []
    for text in pages:
        truth, lines = json.loads(text)
        if kind == "read":
            ask, reply = read_request(lines, r)
            where = [
                p
                for l in reply.split("\n")
                for p in [None, None] + [(int(l[:2]), i) for i in range(len(l) - 2)] + [None]
            ]
        else:
            fields = list(docgen.FIELDS)
            if kind == "some":
                present = [f for f in fields if truth[f] != docgen.ABSENT]
                absent = [f for f in fields if truth[f] == docgen.ABSENT]
                fields = r.sample(present, min(len(present), r.randrange(2, 9))) + r.sample(
                    absent, r.randrange(0, 3)
                )
                r.shuffle(fields)
            ask, reply, spot = (
                prompt(fields, r.random() < 0.2),
                answer(fields, truth),
                locate(truth, lines),
            )
            where = [p for f in fields for p in [None] * (len(f) + 2) + spot[f] + [None]]
        a, b = tok.encode(turn(ask)).ids, tok.encode(reply + "<|im_end|>")
        at = [where[o[0]] if o[1] - o[0] == 1 and o[0] < len(where) else None for o in b.offsets]
        seqs.append((a, b.ids, [-1 if p is None else p[0] * docgen.COLS + p[1] for p in at]))
    n = (max(len(a) + len(b) for a, b, _ in seqs) + BUCKET - 1) // BUCKET * BUCKET
    ids = torch.tensor([a + b + [pad] * (n - len(a) - len(b)) for a, b, _ in seqs])
    labels = torch.tensor(
        [[-100] * len(a) + b + [-100] * (n - len(a) - len(b)) for a, b, _ in seqs]
    )
    places = torch.tensor([[-1] * len(a) + p + [-1] * (n - len(a) - len(b)) for a, b, p in seqs])
    return ids, labels, places


class Pointers(nn.Module):
    """Training help, not part of the model: one head of layer 1 must look at the visual token that
    holds the character just written, one head of layer 2 at the one that holds the next, and
    both layers' outputs must know the slot inside it.
    """

    LAYERS = (1, 2)

    def __init__(self, model):
        super().__init__()
        self.seen, width = {}, model.config.text_config.hidden_size
        self.slot = nn.ModuleList(nn.Linear(width, SLOTS) for _ in self.LAYERS)
        for n in self.LAYERS:
            layer = model.model.language_model.layers[n]
            layer.self_attn.register_forward_pre_hook(
                lambda m, a, kw, n=n: self.seen.__setitem__(
                    n, (m, kw["hidden_states"], kw["position_embeddings"])
                ),
                with_kwargs=True,
            )
            layer.register_forward_hook(
                lambda m, a, out, n=n: self.seen.__setitem__(
                    ("out", n), out[0] if isinstance(out, tuple) else out
                )
            )

    def loss(self, ids, places, image_id):
        t, first = ids.shape[1], int((ids[0] == image_id).nonzero()[0])
        tri = torch.ones(t, t, dtype=torch.bool).tril()
        total, right = 0, []
        for k, n in enumerate(self.LAYERS):
            now = (
                places
                if n == self.LAYERS[0]
                else torch.cat([places[:, 1:], torch.full_like(places[:, :1], -1)], 1)
            )
            b, i = (now >= 0).nonzero(as_tuple=True)
            y, x = now[b, i] // docgen.COLS, now[b, i] % docgen.COLS
            target, slot = first + (y // 2) * (docgen.COLS // 4) + x // 4, (y % 2) * 4 + x % 4
            m, h, (cos, sin) = self.seen[n]
            d = m.head_dim
            turn90 = lambda z: torch.cat([-z[..., d // 2 :], z[..., : d // 2]], -1)
            q, kk = (
                nn.functional.linear(h, w.weight[:d], w.bias[:d]) for w in (m.q_proj, m.k_proj)
            )
            q, kk = q * cos + turn90(q) * sin, kk * cos + turn90(kk) * sin
            score = (q @ kk.transpose(1, 2) / d**0.5).float()[b, i].masked_fill(~tri[i], -1e9)
            total = (
                total
                + nn.functional.cross_entropy(score, target)
                + 0.5
                * nn.functional.cross_entropy(self.slot[k](self.seen["out", n][b, i]).float(), slot)
            )
            right.append((score.argmax(-1) == target).float().mean().item())
        return total, right


WINDOW = 8  # patches on a side of a training window


def windows(model, px, dense):
    """Vision features of the page's non-blank windows only, attention kept inside each: cheap
    training of the local part.

    px [B, 3, S, S], dense [B, T, SLOTS] -> features [N, WINDOW^2 / 4, D], labels [N, WINDOW^2 / 4,
    SLOTS].
    """
    m, b, side, k = model.model, px.shape[0], docgen.SIZE // 14, WINDOW
    g, h = side // k, k // 2
    lab = (
        dense.view(b, g, h, g, h, SLOTS).permute(0, 1, 3, 2, 4, 5).reshape(b * g * g, h * h, SLOTS)
    )
    keep = (lab > 0).flatten(1).any(1)
    keep |= torch.rand(keep.shape, device=keep.device) < 0.03
    e = m.vision_tower.embeddings
    win = (
        px.view(b, 3, g, k * 14, g, k * 14)
        .permute(0, 2, 4, 1, 3, 5)
        .reshape(b * g * g, 3, k * 14, k * 14)[keep]
    )
    pos = (
        e.position_embeddings[0, 1:]
        .view(g, k, g, k, -1)
        .permute(0, 2, 1, 3, 4)
        .reshape(g * g, k * k, -1)
    )
    x = e.patch_embeddings(win) + pos.repeat(b, 1, 1)[keep]
    x = torch.cat([(e.cls_token + e.position_embeddings[:, :1]).expand(x.shape[0], -1, -1), x], 1)
    x = m.vision_tower.layernorm(m.vision_tower.encoder(x).last_hidden_state)[:, 1:]
    x = m.pixel_shuffle(x.reshape(x.shape[0], k, k, -1), 0.5).reshape(x.shape[0], h * h, -1)
    spots = (
        torch.arange(TOKENS, device=keep.device)
        .view(1, g, h, g, h)
        .permute(0, 1, 3, 2, 4)
        .reshape(1, g * g, h * h)
        .expand(b, -1, -1)
        .reshape(b * g * g, h * h)
    )
    return m.multi_modal_projector(x), lab[keep], spots[keep]


def visual(model, px):
    out = model.model.get_image_features(
        pixel_values=px, vision_feature_layer=-1, vision_feature_select_strategy="default"
    )
    out = getattr(out, "pooler_output", out)
    if isinstance(out, (tuple, list)):
        out = torch.stack(list(out))
    return out.reshape(px.shape[0], TOKENS, -1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("stage", choices=["tokenizer", "vision", "joint", "eval", "export"])
    ap.add_argument("out")
    ap.add_argument("dir", nargs="?")
    ap.add_argument("--minutes", type=float, default=30)
    ap.add_argument("--batch", type=int, default=16)
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--docs", type=int, default=50)
    ap.add_argument("--mode", choices=["windows", "full", "frozen"], default="full")
    ap.add_argument(
        "--mix",
        type=float,
        nargs=3,
        default=[0, 1, 1],
        help="share of read, some, all at the start",
    )
    ap.add_argument(
        "--mix-end",
        type=float,
        nargs=3,
        help="the same from 45 %% of the time on; linear in between",
    )
    ap.add_argument(
        "--muon",
        action="store_true",
        help="Muon for the matrices, AdamW for the rest; f32 on a CPU",
    )
    ap.add_argument("--point", type=float, default=0.3, help="weight of the pointers' loss")
    ap.add_argument(
        "--ocr", type=float, default=0.3, help="weight of the characters' loss in joint training"
    )
    ap.add_argument("--scale", type=float, help="multiply the projector's output by this first")
    ap.add_argument(
        "--decay",
        type=float,
        default=0.45,
        help="with --muon: the share of the time in which the rate falls to 0",
    )
    ap.add_argument("--pool", type=int, default=512)
    ap.add_argument("--repeat", type=int, default=1)
    ap.add_argument("--seed", type=int, default=100_000_000)
    o = ap.parse_args()
    if o.stage == "tokenizer":
        return make_tokenizer(o.out)
    from tokenizers import Tokenizer

    tok = Tokenizer.from_file(os.path.join(o.out, "tokenizer.json"))
    dev = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    model = build(tok).to(dev)
    if o.mode == "windows":
        model.config.vision_config._attn_implementation = "eager"
    width = model.config.text_config.hidden_size
    dense = nn.Linear(width, SLOTS * CLASSES).to(dev)
    grid = nn.Linear(width, docgen.ROWS // 2 + docgen.COLS // 4).to(dev)
    pointers = Pointers(model).to(dev)
    state_path = os.path.join(o.out, "state.pt")
    state = (
        torch.load(state_path, map_location=dev, weights_only=True)
        if os.path.exists(state_path)
        else None
    )
    if state:
        mine = model.state_dict()
        same = {k: v for k, v in state["model"].items() if k in mine and mine[k].shape == v.shape}
        print("loaded", len(same), "of", len(mine), flush=True)
        model.load_state_dict(same, strict=False)
        if state["dense"]["weight"].shape == dense.weight.shape:
            dense.load_state_dict(state["dense"])
        if "grid" in state:
            grid.load_state_dict(state["grid"]), pointers.slot.load_state_dict(state["slot"])
    seen = state["seen"] if state else 0
    if o.scale:
        with torch.no_grad():
            last = model.model.multi_modal_projector.linear_2
            last.weight.mul_(o.scale), last.bias.mul_(o.scale), dense.weight.div_(o.scale)
    print(
        json.dumps(
            {
                "params": sum(p.numel() for p in model.parameters()),
                "vision": sum(p.numel() for n, p in model.named_parameters() if "vision" in n),
                "device": dev,
                "seen": seen,
            }
        ),
        flush=True,
    )
    if o.stage == "export":
        return export(model, tok, o.dir)
    if o.stage == "eval":
        return evaluate(model, tok, dev, o.docs)
    joint = o.stage == "joint"
    pad = tok.token_to_id("<|endoftext|>")
    data = iter(
        torch.utils.data.DataLoader(
            Pages(o.seed + seen, o.repeat if not joint else 1),
            batch_size=o.batch,
            num_workers=1,
            collate_fn=collate,
            prefetch_factor=4,
        )
    )
    frozen = joint and o.mode == "frozen"
    train = [
        (n, p)
        for n, p in model.named_parameters()
        if ("language_model" in n or "lm_head" in n or not frozen)
        and (joint or "language_model" not in n and "lm_head" not in n)
    ]
    params = (
        [p for _, p in train]
        + ([] if frozen else list(dense.parameters()) + list(grid.parameters()))
        + (list(pointers.slot.parameters()) if joint else [])
    )
    hidden_2d = (
        [p for n, p in train if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
        if o.muon
        else []
    )
    mine = {id(p) for p in hidden_2d}
    rest = [p for p in params if id(p) not in mine]
    opts = [
        torch.optim.AdamW(
            [
                {
                    "params": [p for p in rest if p.ndim > 1],
                    "weight_decay": 0.0 if o.muon else 0.05,
                },
                {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=o.lr,
            betas=(0.9, 0.98),
        )
    ]
    if hidden_2d:
        opts.append(
            torch.optim.Muon(
                hidden_2d,
                lr=o.lr,
                weight_decay=0.02,
                momentum=0.95,
                nesterov=True,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    model.train()
    t0, step, budget, last, r, pool = (
        time.time(),
        0,
        o.minutes * 60,
        time.time(),
        random.Random(seen),
        [],
    )
    avg, shown = {}, 0
    model.config.text_config._attn_implementation = "sdpa"
    text = (
        model.model.language_model
        if dev == "cpu"
        else torch.compile(model.model.language_model, dynamic=False)
    )
    while True:
        elapsed = time.time() - t0
        if elapsed > budget:
            break
        lr = (
            o.lr
            * min(1, (step + 1) / 200)
            * max(0.02, 0.5 * (1 + math.cos(math.pi * min(1, elapsed / budget))))
        )
        if o.muon:
            lr = (
                o.lr
                * min(1, (step + 1) / 100)
                * min(1, max(0.01, (1 - elapsed / budget) / o.decay))
            )
        for opt in opts:
            for g in opt.param_groups:
                g["lr"] = lr
        share = min(1, elapsed / budget / 0.45)
        mix = [a + (b - a) * share for a, b in zip(o.mix, o.mix_end or o.mix)]
        now = {}
        with torch.autocast(dev, dtype=torch.bfloat16, enabled=dev != "cpu"):
            if frozen:
                if len(pool) < o.pool or r.random() < 1 / o.repeat:
                    px, lab, truths = next(data)
                    seen += len(truths)
                    with torch.no_grad():
                        pool += list(
                            zip(visual(model, pixels(px.to(dev))).to(torch.bfloat16), truths)
                        )
                    pool = pool[-6 * o.pool :]
                    if len(pool) < o.pool:
                        continue
                picked = r.sample(pool, o.batch)
                v, truths = torch.stack([p[0] for p in picked]).float(), [p[1] for p in picked]
                loss = 0
            else:
                px, lab, truths = next(data)
                seen += len(truths)
                px, lab = pixels(px.to(dev)), lab.to(dev)
                v, target, spots = (
                    windows(model, px, lab)
                    if o.mode == "windows"
                    else (visual(model, px), lab, None)
                )
                target = target.reshape(-1)
                logits = dense(v).float().view(-1, CLASSES)
                weight = torch.where(target > 0, 1.0, 0.1)
                ocr = (
                    nn.functional.cross_entropy(logits, target, reduction="none") * weight
                ).sum() / weight.sum()
                now.update(
                    ocr=ocr.item(),
                    ocr_acc=(logits.argmax(-1) == target)[target > 0].float().mean().item(),
                )
                loss = o.ocr * ocr if joint else ocr
                place = grid(v).float().view(-1, grid.out_features)
                spot = spots if o.mode == "windows" else torch.arange(TOKENS).repeat(len(px))
                spot = spot.reshape(-1)
                split, side = docgen.ROWS // 2, docgen.COLS // 4
                loss = loss + 0.3 * (
                    nn.functional.cross_entropy(place[:, :split], spot // side)
                    + nn.functional.cross_entropy(place[:, split:], spot % side)
                )
                now["grid_acc"] = (
                    (
                        (place[:, :split].argmax(-1) == spot // side)
                        & (place[:, split:].argmax(-1) == spot % side)
                    )
                    .float()
                    .mean()
                    .item()
                )
            if joint:
                kind = r.choices(("read", "some", "all"), mix)[0]
                ids, labels, places = (z.to(dev) for z in sequences(tok, truths, kind, r, pad))
                emb = model.get_input_embeddings()(ids)
                emb = emb.masked_scatter(
                    (ids == model.config.image_token_id)[..., None], v.to(emb.dtype)
                )
                hidden = text(inputs_embeds=emb, use_cache=False).last_hidden_state
                keep = labels[:, 1:] != -100
                lm, gold = model.lm_head(hidden[:, :-1][keep]).float(), labels[:, 1:][keep]
                ce = nn.functional.cross_entropy(lm, gold)
                now.update(
                    {
                        "ce_" + kind: ce.item(),
                        "acc_" + kind: (lm.argmax(-1) == gold).float().mean().item(),
                    }
                )
                point, right = pointers.loss(ids, places, model.config.image_token_id)
                now.update({"here_" + kind: right[0], "next_" + kind: right[1]})
                loss = loss + ce + o.point * point
        for opt in opts:
            opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        for opt in opts:
            opt.step()
        step, shown = step + 1, shown + o.batch
        for k, x in now.items():
            avg[k] = x if k not in avg else 0.95 * avg[k] + 0.05 * x
        if step % 25 == 0:
            print(
                json.dumps(
                    {
                        "step": step,
                        "seen": seen,
                        "min": round(elapsed / 60, 1),
                        "docs_s": round(shown / (time.time() - t0), 1),
                        **{k: round(x, 4) for k, x in avg.items()},
                    }
                ),
                flush=True,
            )
        if time.time() - last > 240:
            last = time.time()
            save(state_path, model, dense, seen, grid, pointers)
    save(state_path, model, dense, seen, grid, pointers)
    if joint:
        evaluate(model, tok, dev, o.docs)


def save(path, model, dense, seen, grid, pointers):
    torch.save(
        {
            "model": model.state_dict(),
            "dense": dense.state_dict(),
            "seen": seen,
            "grid": grid.state_dict(),
            "slot": pointers.slot.state_dict(),
        },
        path + ".tmp",
    )
    os.replace(path + ".tmp", path)


@torch.no_grad()
def evaluate(model, tok, dev, docs, base=7_000_000):
    model.eval()
    hit = {f: [0, 0] for f in docgen.FIELDS}
    absent = [0, 0]
    for s in range(docs):
        image, truth, _ = docgen.document(base + s)
        ids = torch.tensor([tok.encode(turn(prompt(docgen.FIELDS, False))).ids], device=dev)
        px = pixels(torch.from_numpy(np.asarray(image))[None].to(dev))
        with torch.autocast(dev, dtype=torch.bfloat16, enabled=dev == "cuda"):
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=px,
                max_new_tokens=420,
                do_sample=False,
            )
        text = tok.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=True)
        got = dict(l.split(": ", 1) for l in text.split("\n") if ": " in l)
        for f in docgen.FIELDS:
            pair = hit[f] if truth[f] != docgen.ABSENT else absent
            pair[1] += 1
            pair[0] += got.get(f) == truth[f]
    model.train()
    total = [sum(v[0] for v in hit.values()), sum(v[1] for v in hit.values())]
    print(
        json.dumps(
            {
                "present_exact": round(total[0] / max(1, total[1]), 4),
                "absent_exact": round(absent[0] / max(1, absent[1]), 4),
                "docs": docs,
                "fields": {f: "%d/%d" % tuple(v) for f, v in hit.items() if v[1]},
            }
        ),
        flush=True,
    )


def export(model, tok, path):
    from transformers import PreTrainedTokenizerFast, GenerationConfig

    os.makedirs(path, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(path)
    template = (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}"
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for content in message['content'] %}{% if content['type'] == 'image' %}"
        "{{ '<IMG_CONTEXT>\n' }}"
        "{% elif content['type'] == 'text' %}{{ content['text'] }}"
        "{% endif %}{% endfor %}{% endif %}{{'<|im_end|>\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{'<|im_start|>assistant\n' }}{% endif %}"
    )
    t = PreTrainedTokenizerFast(
        tokenizer_object=tok,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        chat_template=template,
        extra_special_tokens={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
        },
    )
    t.save_pretrained(path)
    GenerationConfig(
        eos_token_id=tok.token_to_id("<|im_end|>"),
        pad_token_id=tok.token_to_id("<|endoftext|>"),
        do_sample=False,
        max_new_tokens=600,
    ).save_pretrained(path)
    with open(os.path.join(path, "preprocessor_config.json"), "w") as f:
        json.dump(
            {
                "image_processor_type": "GotOcr2ImageProcessorFast",
                "processor_class": "InternVLProcessor",
                "crop_to_patches": False,
                "do_convert_rgb": True,
                "do_normalize": True,
                "do_rescale": True,
                "do_resize": True,
                "image_mean": [0.485, 0.456, 0.406],
                "image_std": [0.229, 0.224, 0.225],
                "max_patches": 1,
                "min_patches": 1,
                "resample": 3,
                "rescale_factor": 1 / 255,
                "size": {"height": docgen.SIZE, "width": docgen.SIZE},
            },
            f,
            indent=2,
        )
    print("exported", path, sum(os.path.getsize(os.path.join(path, n)) for n in os.listdir(path)))


if __name__ == "__main__":
    main()
