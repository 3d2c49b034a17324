#!/usr/bin/env python3
"""Times llama.cpp on this machine, at the shapes of the models that snug reads documents with, and snug beside it.

    bench/peers.py                                        0.5B in Q8_0, Q4_0 and BF16, and the vision tower
    bench/peers.py --sizes 0.5b,1.5b --types q8_0 --rounds 5 --json
    bench/peers.py --snug build/snug --snug-model 0.5b=InternVL3-1B     the ratios, too

llama.cpp is built from the source package of llama-cpp-python (PyPI), for this processor, without a BLAS and without a GPU.
The weights are random but of equal shapes: speed does not depend on their values. They are written as GGUF v3 here:

    "GGUF" u32 version u64 tensors u64 pairs | pairs: key, type, value | tensors: name, dims (innermost first), type, offset
    | padding to 32 | data, each tensor padded to 32

There is no tokeniser in them ("no_vocab"); llama-bench feeds random tokens. A row is the median over the rounds; a round runs every
model once, llama.cpp and snug in turns, so that a slow minute of the machine hits both. Other programs' processor time is measured
during each run and printed: above a tenth of a core the figures are not good. Needs: Linux, python3 with pip, cmake, ninja, g++.

Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "llama-cpp-python==0.3.36"
CMAKE_OPTIONS = ("-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DGGML_OPENMP=ON -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF "
                 "-DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_TOOLS=ON "
                 "-DLLAMA_BUILD_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_CURL=OFF -DLLAMA_SUBPROCESS=OFF").split()

# The text models (Qwen2.5) of InternVL3-1B, -2B and -8B. Their heads are tensors of their own: nothing is tied.
SIZES = {
    "0.5b": {"hidden": 896, "ffn": 4864, "layers": 24, "heads": 14, "kv_heads": 2},
    "1.5b": {"hidden": 1536, "ffn": 8960, "layers": 28, "heads": 12, "kv_heads": 2},
    "7b": {"hidden": 3584, "ffn": 18944, "layers": 28, "heads": 28, "kv_heads": 4},
}
VOCAB = 151674
VISION = {"hidden": 1024, "ffn": 4096, "layers": 24, "heads": 16, "image": 448, "patch": 14}
PREFILLS, DEPTHS = (128, 512, 3328), (512, 3584)

# name: (ggml's number, weights a block, bytes a block, general.file_type)
TYPES = {"f32": (0, 1, 4, 0), "f16": (1, 1, 2, 1), "q4_0": (2, 32, 18, 2), "q8_0": (8, 32, 34, 7), "bf16": (30, 1, 2, 32)}
# What snug calls the nearest thing: its q8 and q4 have blocks and scales of their own.
SNUG_QUANTIZE = {"q8_0": "q8", "q4_0": "q4", "bf16": "none", "f16": "none"}
U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9

# Times the vision tower through libmtmd's inner interface; llama.cpp has no benchmark of it. One tile a call, as for a page's tiles.
VISION_DRIVER = r"""
#include "clip.h"
#include "clip-impl.h"
#include "ggml-backend.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
int main(int argc, char **argv)
{
    if (argc != 4) { fprintf(stderr, "usage: MMPROJ THREADS TILES\n"); return 2; }
    ggml_backend_load_all();
    clip_context_params params{};
    params.flash_attn_type = CLIP_FLASH_ATTN_TYPE_AUTO;
    params.image_min_tokens = params.image_max_tokens = -1;
    params.warmup = true;
    clip_ctx *ctx = clip_init(argv[1], params).ctx_v;
    if (!ctx) return 1;
    const int side = SIDE, tiles = atoi(argv[3]);
    std::vector<float> pixels((size_t)side * side * 3), out;
    for (size_t i = 0; i < pixels.size(); i++) pixels[i] = (float)(i * 7919 % 1000) / 500 - 1;
    clip_image_f32 image;
    image.set_size({side, side}, false, false);
    image.cpy_buf(pixels);
    out.resize((size_t)clip_n_output_tokens(ctx, &image) * clip_n_mmproj_embd(ctx));
    for (int i = -1; i < tiles; i++) { /* the first warms up */
        auto start = std::chrono::steady_clock::now();
        if (!clip_image_encode(ctx, atoi(argv[2]), &image, out)) return 1;
        std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - start;
        if (i >= 0) printf("%.3f\n", ms.count());
    }
    fprintf(stderr, "%d tokens of %d\n", clip_n_output_tokens(ctx, &image), clip_n_mmproj_embd(ctx));
    for (float v : out) if (!(v - v == 0)) { fprintf(stderr, "not finite\n"); return 1; }
    clip_free(ctx);
}
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command, what, **options):
    """The command's standard output; a readable end of this program if it fails."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        say(f"{what} failed ({done.returncode}): {' '.join(command)}")
        sys.exit("\n".join((done.stdout + done.stderr).splitlines()[-25:]))
    return done.stdout


# Building llama.cpp ---------------------------------------------------------------------------------------------------------------

def fetch_source(cache):
    """The unpacked source of llama.cpp, downloaded through pip once."""
    source = cache / "llama" / "src"
    if not source.is_dir():
        say(f"fetching {PACKAGE}")
        sdist = cache / "sdist"
        if not list(sdist.glob("llama_cpp_python-*.tar.gz")):
            run([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python", "-d", sdist, PACKAGE],
                "pip download")
        archive = next(sdist.glob("llama_cpp_python-*.tar.gz"))
        partial = cache / "llama" / "src.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(partial)
        (inner,) = partial.iterdir()
        # The package's own folder goes, so that paths are the same whatever its version.
        inner.rename(source)
        shutil.rmtree(partial)
    llama = source / "vendor" / "llama.cpp"
    if not (llama / "CMakeLists.txt").is_file():
        sys.exit(f"{llama}: no CMakeLists.txt; remove {cache} and run this again")
    return llama


def build_llama(cache, jobs):
    """Paths of llama-bench and of the vision driver (None if it cannot be built: the interface below it is llama.cpp's inner one)."""
    llama, build = fetch_source(cache), cache / "llama" / "build"
    bench, mtmd = build / "bin" / "llama-bench", build / "tools" / "mtmd" / "libmtmd.a"
    if not bench.exists() or not mtmd.exists():
        say("building llama.cpp (10 to 20 minutes on two cores, once)")
        run(["cmake", "-S", llama, "-B", build, "-G", "Ninja", *CMAKE_OPTIONS], "cmake")
        run(["nice", "-n", "15", "ninja", "-C", build, f"-j{jobs}", "llama-bench", "mtmd"], "ninja")
    driver, text = cache / "llama" / "vision_tile", VISION_DRIVER.replace("SIDE", str(VISION["image"]))
    code = driver.with_suffix(".cpp")
    if not driver.exists() or not code.exists() or code.read_text() != text:
        code.write_text(text)
        includes = [f"-I{llama / part}" for part in ("tools/mtmd", "ggml/include", "include", "vendor", "src")]
        libraries = [mtmd, build / "src" / "libllama.a"] + [build / "ggml" / "src" / f"lib{n}.a" for n in ("ggml", "ggml-cpu", "ggml-base")]
        done = subprocess.run(["g++", "-std=c++17", "-O2", "-fopenmp", *includes, str(code), "-o", str(driver), "-Wl,--start-group",
                               *map(str, libraries), "-Wl,--end-group", "-lpthread", "-ldl"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            say("the vision driver does not compile against this llama.cpp; no vision row:\n" + done.stderr[-2000:])
            driver = None
    return bench, driver


# Weights --------------------------------------------------------------------------------------------------------------------------

def random_blocks(kind, count):
    """count blocks of weights of about 0.02 standard deviation."""
    rng = random.Random(count)
    if kind == "q8_0":
        return b"".join(struct.pack("<e", 0.02 / 74) + rng.randbytes(32) for _ in range(count))
    if kind == "q4_0":
        return b"".join(struct.pack("<e", 0.02 / 4.6) + rng.randbytes(16) for _ in range(count))
    values = [rng.gauss(0, 0.02) for _ in range(count)]
    if kind == "bf16":
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    return struct.pack(f"<{count}{'e' if kind == 'f16' else 'f'}", *values)


def gguf_string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def gguf_pair(key, kind, value):
    if kind == STRING:
        data = gguf_string(value)
    elif kind == ARRAY:
        data = struct.pack(f"<IQ{len(value)}f", F32, len(value), *value)
    else:
        data = struct.pack({U32: "<I", F32: "<f", BOOL: "<?"}[kind], value)
    return gguf_string(key) + struct.pack("<I", kind) + data


def write_gguf(path, pairs, tensors):
    """tensors: (name, dims innermost first, type, fill); fill is a number for all elements, or None for random ones."""
    head, offset, sizes = b"", 0, []
    for name, dims, kind, _ in tensors:
        number, block, block_bytes, _ = TYPES[kind]
        count = 1
        for dim in dims:
            count *= dim
        if dims[0] % block != 0:
            sys.exit(f"{name}: rows of {dims[0]} are no whole number of blocks of {kind}")
        head += gguf_string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, number, offset)
        sizes.append(count // block * block_bytes)
        offset += -(-sizes[-1] // 32) * 32
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)) + b"".join(gguf_pair(*pair) for pair in pairs) + head
    pools = {}
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        file.write(head + bytes(-len(head) % 32))
        for (_, _, kind, fill), size in zip(tensors, sizes):
            if kind not in pools:
                pools[kind] = random_blocks(kind, 65537)  # odd, so that rows do not repeat in step
            pool = pools[kind] if fill is None else struct.pack("<f", fill) * 4096
            for at in range(0, size, len(pool)):
                file.write(pool[:size - at])
            file.write(bytes(-size % 32))
    partial.rename(path)


def text_gguf(path, size, kind):
    """A Qwen2 model as llama.cpp's converter writes it: matrices (embedding and head, too) in kind, norms and biases f32."""
    s = SIZES[size]
    hidden, kv = s["hidden"], s["hidden"] // s["heads"] * s["kv_heads"]
    pairs = [("general.architecture", STRING, "qwen2"), ("general.name", STRING, f"random {size}"),
             ("general.file_type", U32, TYPES[kind][3]), ("qwen2.context_length", U32, 32768), ("qwen2.embedding_length", U32, hidden),
             ("qwen2.block_count", U32, s["layers"]), ("qwen2.feed_forward_length", U32, s["ffn"]),
             ("qwen2.attention.head_count", U32, s["heads"]), ("qwen2.attention.head_count_kv", U32, s["kv_heads"]),
             ("qwen2.attention.layer_norm_rms_epsilon", F32, 1e-6), ("qwen2.rope.freq_base", F32, 1e6),
             ("qwen2.vocab_size", U32, VOCAB), ("tokenizer.ggml.model", STRING, "no_vocab")]
    tensors = [("token_embd.weight", (hidden, VOCAB), kind, None), ("output_norm.weight", (hidden,), "f32", 1.0),
               ("output.weight", (hidden, VOCAB), kind, None)]
    for i in range(s["layers"]):
        for name, outputs, inputs in (("attn_q", hidden, hidden), ("attn_k", kv, hidden), ("attn_v", kv, hidden),
                                      ("attn_output", hidden, hidden), ("ffn_gate", s["ffn"], hidden), ("ffn_up", s["ffn"], hidden),
                                      ("ffn_down", hidden, s["ffn"])):
            tensors.append((f"blk.{i}.{name}.weight", (inputs, outputs), kind, None))
            if name in ("attn_q", "attn_k", "attn_v"):
                tensors.append((f"blk.{i}.{name}.bias", (outputs,), "f32", None))
        tensors += [(f"blk.{i}.{name}.weight", (hidden,), "f32", 1.0) for name in ("attn_norm", "ffn_norm")]
    write_gguf(path, pairs, tensors)


def vision_gguf(path, size, kind):
    """InternViT-300M with the projector to the text model's width, as the converter writes it: q, k, v apart, convolution in f16."""
    v, out = VISION, SIZES[size]["hidden"]
    d, merged = v["hidden"], 4 * v["hidden"]
    pairs = [("general.architecture", STRING, "clip"), ("general.file_type", U32, TYPES[kind][3]), ("clip.has_vision_encoder", BOOL, True),
             ("clip.projector_type", STRING, "internvl"), ("clip.use_gelu", BOOL, True), ("clip.vision.image_size", U32, v["image"]),
             ("clip.vision.patch_size", U32, v["patch"]), ("clip.vision.embedding_length", U32, d),
             ("clip.vision.feed_forward_length", U32, v["ffn"]), ("clip.vision.block_count", U32, v["layers"]),
             ("clip.vision.attention.head_count", U32, v["heads"]), ("clip.vision.projection_dim", U32, out),
             ("clip.vision.attention.layer_norm_epsilon", F32, 1e-6), ("clip.vision.projector.scale_factor", U32, 2),
             ("clip.vision.image_mean", ARRAY, (0.485, 0.456, 0.406)), ("clip.vision.image_std", ARRAY, (0.229, 0.224, 0.225))]
    positions = (v["image"] // v["patch"]) ** 2 + 1
    tensors = [("v.class_embd", (d,), "f32", None), ("v.patch_embd.weight", (v["patch"], v["patch"], 3, d), "f16", None),
               ("v.patch_embd.bias", (d,), "f32", None), ("v.position_embd.weight", (d, positions), "f32", None)]

    def linear(name, inputs, outputs):
        tensors.extend([(f"{name}.weight", (inputs, outputs), kind, None), (f"{name}.bias", (outputs,), "f32", None)])

    def norm(name, width):
        tensors.extend([(f"{name}.weight", (width,), "f32", 1.0), (f"{name}.bias", (width,), "f32", None)])

    for i in range(v["layers"]):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            linear(f"v.blk.{i}.{name}", d, d)
        linear(f"v.blk.{i}.ffn_up", d, v["ffn"])
        linear(f"v.blk.{i}.ffn_down", v["ffn"], d)
        for j in (1, 2):
            norm(f"v.blk.{i}.ln{j}", d)
            tensors.append((f"v.blk.{i}.ls{j}.weight", (d,), "f32", 0.1))
    norm("mm.model.mlp.0", merged)
    linear("mm.model.mlp.1", merged, out)
    linear("mm.model.mlp.3", out, out)
    write_gguf(path, pairs, tensors)


def weights(cache, write, name, size, kind):
    path = cache / "gguf" / f"{name}-{size}-{kind}.gguf"
    if not path.exists():
        say(f"writing {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, size, kind)
    return path


# Measuring ------------------------------------------------------------------------------------------------------------------------

def llama_text(bench, model, args):
    """{row: tokens/s} of one round."""
    common = [bench, "-m", model, "-t", args.threads, "-r", 1, "-ngl", 0, "-o", "jsonl"]
    rows = {}
    for options in (["-p", ",".join(map(str, args.prefills)), "-n", 0], ["-p", 0, "-n", args.tokens, "-d", ",".join(map(str, args.depths))]):
        for line in run(common + options, "llama-bench").splitlines():
            test = json.loads(line)
            name = f"prefill_{test['n_prompt']}" if test["n_prompt"] else f"decode_{test['n_depth']}"
            rows[name] = statistics.median(test["samples_ts"])
    return rows


def llama_vision(driver, model, args):
    text = run([driver, model, args.threads, args.tiles], "the vision driver")
    return {"vision_tile": statistics.median(float(line) for line in text.splitlines())}


def snug_rows(args, size, kind):
    """{row: value} of one run of `snug bench model`; rows are named as ours."""
    command = [args.snug, "bench", "model", "-m", args.snug_models[size], "--threads", args.threads, "--json", "--quantize", SNUG_QUANTIZE[kind]]
    wanted = [f"prefill_{n}" for n in args.prefills] + [f"decode_{n}" for n in args.depths] + ["vision_tile"]
    rows = {}
    for row in json.loads(run(command, "snug bench"))["rows"]:
        if row["name"] in wanted:
            rows[row["name"]] = row["value"]
    if not rows:
        sys.exit(f"snug bench printed none of the rows {', '.join(wanted)}")
    return rows


def processor():
    for line in run(["lscpu"], "lscpu", env={**os.environ, "LC_ALL": "C"}).splitlines():
        if line.startswith("Model name:"):
            return line.split(":", 1)[1].strip()
    return "unknown"


class Others:
    """Processor time that others than our children took, in cores, since it was made."""

    def __init__(self):
        self.start, self.all, self.ours = self.now()

    @staticmethod
    def now():
        user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split(None, 8)[1:8])
        times = os.times()
        ours = times.user + times.system + times.children_user + times.children_system
        return time.monotonic(), (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK"), ours

    def cores(self):
        now, everything, ours = self.now()
        return round(max(0.0, (everything - self.all - (ours - self.ours)) / (now - self.start)), 2)


def wait_until_quiet(patience_s):
    """Returns once others take less than a tenth of a core, or when patience ends."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        others = Others()
        time.sleep(2)
        if others.cores() < 0.1:
            return


def measure(args, bench, driver):
    """(samples, others): samples[(size, type, row)] = {"llama.cpp": [...], "snug": [...]}; others: cores taken by others, a run each."""
    samples, taken = {}, []

    def note(size, kind, program, rows):
        for name, value in rows.items():
            samples.setdefault((size, kind, name), {}).setdefault(program, []).append(value)

    for turn in range(args.rounds):
        for size in args.sizes:
            for kind in args.types:
                wait_until_quiet(args.patience)
                others = Others()
                note(size, kind, "llama.cpp", llama_text(bench, weights(args.cache, text_gguf, "text", size, kind), args))
                if driver and args.tiles:
                    note(size, kind, "llama.cpp", llama_vision(driver, weights(args.cache, vision_gguf, "vision", size, kind), args))
                if args.snug and size in args.snug_models:
                    note(size, kind, "snug", snug_rows(args, size, kind))
                taken.append(others.cores())
                say(f"round {turn + 1} of {args.rounds}: {size} {kind} {time.monotonic() - others.start:.0f} s, others took {taken[-1]} cores")
    return samples, taken


def summarise(samples):
    """Rows for the table and for --json; ratio > 1: snug is faster."""
    rows = []
    for (size, kind, name), programs in samples.items():
        row = {"model": size, "type": kind, "name": name, "unit": "ms" if name == "vision_tile" else "tokens/s"}
        for program, values in programs.items():
            row[program] = {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": len(values)}
        if len(programs) == 2:
            ratio = row["snug"]["median"] / row["llama.cpp"]["median"]
            row["ratio"] = 1 / ratio if row["unit"] == "ms" else ratio
        rows.append(row)
    return rows


def print_table(rows, head, notes):
    print("\n".join(f"{key}: {value}" for key, value in head.items()))
    print("\n| model | type | row | unit | llama.cpp (min-max) | snug (min-max) | snug/llama.cpp, speed |\n" + "| --- " * 7 + "|")
    for row in rows:
        cells = [row["model"], row["type"], row["name"], row["unit"]]
        for program in ("llama.cpp", "snug"):
            value = row.get(program)
            cells.append(f"{value['median']:.1f} ({value['min']:.1f}-{value['max']:.1f})" if value else "-")
        print("| " + " | ".join(cells + [f"{row['ratio']:.2f}" if "ratio" in row else "-"]) + " |")
    print("".join(f"\n{note}" for note in notes))


def numbers(text):
    return [int(part) for part in text.split(",") if part]


def options():
    parser = argparse.ArgumentParser(description="Times llama.cpp at the shapes of InternVL3's parts, and snug beside it.")
    parser.add_argument("--cache", type=Path, default=ROOT / "build-peers", help="what is fetched, built and written (build-peers)")
    parser.add_argument("--sizes", default="0.5b", help="of " + ", ".join(SIZES))
    parser.add_argument("--types", default="q8_0,q4_0,bf16", help="of q8_0, q4_0, bf16, f16")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefills", type=numbers, default=list(PREFILLS), help="prompt lengths")
    parser.add_argument("--depths", type=numbers, default=list(DEPTHS), help="positions in the cache before decoding")
    parser.add_argument("--tokens", type=int, default=32, help="decoded tokens a measurement")
    parser.add_argument("--tiles", type=int, default=3, help="tiles a measurement; 0: no vision row")
    parser.add_argument("--patience", type=float, default=0, metavar="SECONDS", help="wait that long for a quiet machine before each run")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at a time")
    parser.add_argument("--snug", help="the snug program; without it llama.cpp alone is timed")
    parser.add_argument("--snug-model", action="append", default=[], metavar="SIZE=DIR", help="snug's model folder of that size")
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    parser.add_argument("--build-only", action="store_true", help="build llama.cpp and write the weights, measure nothing")
    args = parser.parse_args()
    args.sizes, args.types = args.sizes.split(","), args.types.split(",")
    for given, known in ((args.sizes, SIZES), (args.types, SNUG_QUANTIZE)):
        for name in given:
            if name not in known:
                parser.error(f"'{name}' is none of {', '.join(known)}")
    if args.rounds < 1 or not args.prefills or not args.depths or min(args.prefills + args.depths) < 1 or args.tokens < 1:
        parser.error("--rounds, --tokens, --prefills and --depths are at least 1")
    args.snug_models = dict(part.partition("=")[::2] for part in args.snug_model)
    unknown = set(args.snug_models) - set(SIZES)
    if unknown:
        parser.error(f"--snug-model: '{unknown.pop()}' is none of {', '.join(SIZES)}")
    if bool(args.snug) != bool(args.snug_models):
        parser.error("--snug and --snug-model go together")
    args.cache = args.cache.resolve()
    return args


def main():
    args = options()
    bench, driver = build_llama(args.cache, args.jobs)
    for size in args.sizes:
        for kind in args.types:
            weights(args.cache, text_gguf, "text", size, kind)
            if driver and args.tiles:
                weights(args.cache, vision_gguf, "vision", size, kind)
    if args.build_only:
        return
    samples, taken = measure(args, bench, driver)
    head = {"processor": processor(), "threads": args.threads, "rounds": args.rounds, "peer": f"llama.cpp of {PACKAGE}",
            "cores taken by others": f"{min(taken)} to {max(taken)}"}
    notes = []
    if max(taken) >= 0.1:
        notes.append("The machine was not quiet: these figures are too low, and their ratios doubtful.")
    if not driver or not args.tiles:
        notes.append("vision_tile: not measured" + ("" if driver else " (the driver could not be built)"))
    if not args.snug:
        notes.append("snug: not measured (--snug and --snug-model)")
    rows = summarise(samples)
    if args.json:
        print(json.dumps({"machine": head, "others_cores": taken, "rows": rows, "notes": notes}, indent=1))
    else:
        print_table(rows, head, notes)


if __name__ == "__main__":
    main()
