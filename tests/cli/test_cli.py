#!/usr/bin/env python3
"""The command line as users meet it: exit codes, formats, bad input, interruption, a full disk.

    test_cli.py SNUG        SNUG_SOURCE_ROOT: the repository

Prints a line a case and, last, "N passed, N failed, N skipped".
Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
"""
import csv
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from xml.etree import ElementTree

SNUG = str(Path(sys.argv[1]).resolve())
ROOT = Path(os.environ.get("SNUG_SOURCE_ROOT", ".")).resolve()
SAMPLES = ROOT / "samples"
GOLDEN = ROOT / "tests/golden"
ROW_KEYS = ["document", "status", "error", "fields", "raw", "finish", "model", "tokens", "timing_ms", "rung", "moves"]
counts = {"passed": 0, "failed": 0}
SHORT = ["--max-new-tokens", "3"]  # rows become partial, but quickly


def snug(*arguments, cwd=None, timeout=300, **more):
    return subprocess.run([SNUG, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=timeout,
                          stdin=subprocess.DEVNULL, **more)


def case(function):
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            function(Path(folder))
            counts["passed"] += 1
            print(f"pass {function.__name__}, {time.monotonic() - start:.1f} s")
        except Exception as error:  # an assertion, or a command that hangs
            counts["failed"] += 1
            print(f"FAIL {function.__name__}: {type(error).__name__}: {error}")
    return function


def case_in_full(function):
    """Not under a sanitizer, where it takes minutes and others run the same code."""
    return function if os.environ.get("SNUG_SLOW") else case(function)


def expect(result, code, *texts):
    both = result.stdout + result.stderr
    assert result.returncode == code, f"exit code {result.returncode}, not {code}: {both[-600:]}"
    for text in texts:
        assert text in both, f"'{text}' is not in: {both[-600:]}"
    assert "Sanitizer" not in both and "runtime error" not in both, both[-3000:]


def rows_of(text):
    return [json.loads(line) for line in text.splitlines()]


@case
def usage(_):
    expect(snug(), 2, "Usage: snug COMMAND")
    expect(snug("--help"), 0, "extract", "eval", "inspect", "synth", "doctor")
    expect(snug("--version"), 0, "snug 0.")
    expect(snug("read"), 2, "no command 'read'", "--help")
    for command in ("extract", "eval", "plan", "inspect", "synth", "memory", "doctor"):
        result = snug(command, "--help")
        expect(result, 0, "Usage: snug " + command)
        wide = [line for line in result.stdout.splitlines() if len(line) > 80]
        assert not wide, f"wider than 80 columns: {wide}"


@case
def wrong_options(_):
    for arguments, text in [
        (["extract"], "which documents?"),
        (["extract", "a.png", "--nonsense"], "unknown option '--nonsense'"),
        (["extract", "a.png", "-m"], "'--model' needs a value"),
        (["extract", "a.png", "--threads", "0"], "whole number from 1"),
        (["extract", "a.png", "--threads", "2x"], "'2x'"),
        (["extract", "a.png", "--threads", "1e3"], "'1e3'"),
        (["extract", "a.png", "--parallel", "0"], "whole number from 1 to 64"),
        (["extract", "a.png", "--parallel", "65"], "whole number from 1 to 64"),
        (["extract", "a.png", "--threads", "99999999999999999999"], "whole number"),
        (["extract", "a.png", "--temperature", "nan"], "number from 0"),
        (["extract", "a.png", "--top-p", "0"], "number from"),
        (["extract", "a.png", "--hints=yes"], "takes no value"),
        (["extract", "a.png", "--format", "xml"], "'xml'"),
        (["extract", "a.png", "--kv", "f64"], "'f64'"),
        (["extract", "a.png", "--isa", "sse"], "sse"),
        (["extract", "a.png", "--min-tiles", "5", "--max-tiles", "4"], "--min-tiles"),
        (["extract", "a.png", "--budget", "8G"], "--budget is a size"),
        (["extract", "a.png", "--budget", "0"], "--budget is a size"),
        (["extract", "a.png", "--page", "2480"], "--page is WIDTHxHEIGHT"),
        (["extract", "a.png", "--page", "70000x10"], "--page is WIDTHxHEIGHT"),
        (["extract", "a.png", "--device", "v100-16gb"], "computes on the CPU only"),
        (["extract", "a.png", "--device", "cpu-1000gb"], "rtx4060-8gb"),
        (["extract", "a.png", "--alert", "free"], "--alert is a list"),
        (["extract", "a.png", "--alert", "nothing=1GiB"], "--alert is a list"),
        (["plan", "x"], "a model is given with -m"),
        (["plan", "--ladder", "stream"], "there is no device"),
        (["plan", "--ladder", "cpu,fast"], "--ladder is a list of resident"),
        (["plan", "--device", "sim:8GiB", "--ladder", ""], "--ladder is a list of resident"),
        (["plan", "--device", "v100-16gb", "--budget", "17GiB"], "at most 15.5 GiB can be taken"),
        (["plan", "--devices", "/no/such/file"], "/no/such/file"),
        (["plan", "--quantize", "q5"], "'q5'"),
        (["eval", "a"], "two files"),
        (["doctor", "x"], "no arguments"),
        (["doctor", "--device", "v100-16gb"], "--device sim:v100-16gb rehearses it"),
        (["doctor", "--device", "sim:v100"], 'no device "v100"'),
        (["synth"], "which folder?"),
        (["synth", "a", "b", "--arch", "tiny"], "which folder?"),
        (["synth", "/no/such/folder/x"], "which --arch?"),
        (["synth", "/no/such/folder/x", "--arch", "internvl3-9b"], "internvl3-38b"),
        (["synth", "/no/such/folder/x", "--arch", "tiny", "--layers", "3"], "2 layers of text"),
        (["synth", "/no/such/folder/x", "--arch", "tiny", "--layers", "0"], "whole number from 1"),
        (["synth", "/no/such/folder/x", "--arch", "tiny", "--outliers", "0.02"], "from 0 to 0.01"),
    ]:
        expect(snug(*arguments), 2, text)


@case
def unusable_models_and_schemas(folder):
    expect(snug("extract", SAMPLES / "receipt-01.png", "-m", folder / "none"), 3, "none", "no such model folder")
    expect(snug("extract", SAMPLES / "receipt-01.png", "-m", folder), 3, "config.json")
    expect(snug("extract", SAMPLES / "receipt-01.png", "-m", GOLDEN / "safetensors"), 3, "config.json")
    for text, says in [("{", "line 1"), ("{}", "name"), ('{"name":"x","fields":[{"name":"A","type":"colour"}]}', "colour"),
                       ('{"name":"x","fields":[{"name":"A","type":"text"},{"name":"a","type":"text"}]}', "a"),
                       ('{"name":"x","fields":[]}', "fields")]:
        (folder / "schema.json").write_text(text)
        expect(snug("extract", SAMPLES / "receipt-01.png", "-s", folder / "schema.json"), 3, "schema.json", says)
    expect(snug("extract", SAMPLES / "receipt-01.png", "-s", folder / "no.json"), 3, "no.json")


@case
def a_damaged_model_names_the_tensor(folder):
    model = folder / "hf-a"
    shutil.copytree(GOLDEN / "internvl/hf-a", model)
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:-4])
    expect(snug("extract", SAMPLES / "receipt-01.png", "-m", model), 3, "model.safetensors")
    (model / "model.safetensors").write_bytes(weights.replace(b"lambda_1", b"lambda_9", 1))
    expect(snug("extract", SAMPLES / "receipt-01.png", "-m", model), 3, "lambda_1", "[64] is missing")
    (model / "model.safetensors").write_bytes(weights)
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ messages }}"
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    expect(snug("extract", SAMPLES / "receipt-01.png", "-m", model), 3, "--chat internvl-hf")
    expect(snug("extract", SAMPLES / "receipt-01.png", "-m", model, "--chat", "internvl-hf", "--max-tiles", 1, *SHORT), 1)
    expect(snug("inspect", model), 3, "PROBLEM", "1 problem")


@case
def a_row_has_every_key(_):
    result = snug("extract", SAMPLES / "receipt-02.png")
    expect(result, 0, "1 of 1 documents: 1 ok")
    row, = rows_of(result.stdout)
    assert list(row) == ROW_KEYS, list(row)
    assert row["status"] == "ok" and row["error"] is None and row["rung"] == "cpu" and row["finish"] == "stop"
    assert len(row["fields"]) == 25 and row["fields"]["BANK_NAME"]["value"] is None
    assert row["fields"]["DOCUMENT_TYPE"]["value"] == "RECEIPT" and 0 < row["fields"]["TOTAL"]["confidence"] <= 1
    assert set(row["tokens"]) == {"image", "prompt", "output"} and row["tokens"]["image"] == 144
    assert set(row["timing_ms"]) == {"decode_image", "vision", "prefill", "decode", "total"}
    assert row["raw"].startswith("DOCUMENT_TYPE: RECEIPT\n") and "<|im_end|>" not in row["raw"]


@case
def bad_documents_give_rows(folder):
    whole = (SAMPLES / "receipt-01.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture")
    (folder / "page.pdf").write_bytes(b"%PDF-1.4\n")
    names = ["cut.png", "empty.png", "missing.png", "page.pdf", "text.png"]
    paths = [folder / name for name in names] + [SAMPLES / "receipt-01.png", folder]
    result = snug("extract", *paths, *SHORT)
    expect(result, 1)
    rows = rows_of(result.stdout)
    codes = [row["error"]["code"] if row["error"] else row["status"] for row in rows]
    assert codes == ["bad_format", "bad_format", "not_found", "unsupported", "unsupported", "partial",
                     "bad_format", "bad_format", "unsupported", "unsupported"], codes
    for row in rows[:5]:
        assert list(row) == ROW_KEYS and row["fields"] is None and row["raw"] is None, row
        assert row["error"]["message"]
    assert rows[-1]["document"] == f"{folder}/text.png"


@case
def folders(folder):
    for name in ["b.PNG", "a.png", "notes.txt", "c.webp.bak"]:
        shutil.copy(SAMPLES / "receipt-01.png", folder / name)
    (folder / "sub.png").mkdir()
    result = snug("extract", str(folder) + "/", *SHORT)
    expect(result, 1, "2 other files ignored")
    assert [row["document"] for row in rows_of(result.stdout)] == [f"{folder}/a.png", f"{folder}/b.PNG"]
    empty = folder / "empty"
    empty.mkdir()
    expect(snug("extract", empty), 2, "no documents")


@case
def formats(folder):
    documents = [SAMPLES / "receipt-01.png", SAMPLES / "bank-statement-01.png", folder / "missing.png"]
    expect(snug("extract", *documents, "-o", folder / "out.json"), 1)
    rows = json.loads((folder / "out.json").read_text())
    assert len(rows) == 3 and list(rows[0]) == ROW_KEYS
    expect(snug("extract", *documents, "-o", folder / "out.csv"), 1)
    with open(folder / "out.csv", newline="") as file:
        table = list(csv.reader(file))
    assert table[0][:3] == ["image_file", "status", "DOCUMENT_TYPE"] and len(table) == 4
    assert table[1][2] == "RECEIPT" and table[3][1] == "error" and all(len(line) == 27 for line in table)
    result = snug("extract", *documents, "--format", "table")
    expect(result, 1, "RECEIPT", "missing.png")
    wide = [line for line in result.stdout.splitlines() if len(line) > 80 and str(folder) not in line]
    assert not wide, wide
    expect(snug("extract", documents[2], "--format", "json"), 1)
    assert sorted(os.listdir(folder)) == ["out.csv", "out.json"]


@case
def the_same_bits(_):
    def rows(*more):
        result = snug("extract", SAMPLES / "receipt-03.png", *more)
        expect(result, 0)
        row, = rows_of(result.stdout)
        del row["timing_ms"]
        return row
    first = rows("--threads", 1)
    for more in (["--threads", 3], ["--prefill-chunk", 7], ["--vision-batch", 4]):
        assert rows(*more) == first, more
    sampled = [rows("--temperature", 0.7, "--top-p", 0.9, "--seed", seed)["raw"] for seed in (1, 1, 2)]
    assert sampled[0] == sampled[1]


@case
def own_schema(folder):
    (folder / "s.json").write_text('{"name": "own", "fields": [{"name": "TOTAL", "type": "money"},'
                                   '{"name": "SUPPLIER", "type": "text", "required": true}]}')
    result = snug("extract", SAMPLES / "receipt-04.png", "-s", folder / "s.json")
    expect(result, 0)
    assert list(rows_of(result.stdout)[0]["fields"]) == ["TOTAL", "SUPPLIER"]


@case
def full_disk(_):
    with open("/dev/full", "w") as full:
        result = subprocess.run([SNUG, "extract", str(SAMPLES / "receipt-01.png"), *SHORT], stdout=full,
                                stderr=subprocess.PIPE, text=True, timeout=300)
    assert result.returncode == 1 and "No space left on device" in result.stderr, result
    expect(snug("extract", SAMPLES / "receipt-01.png", "-o", "/dev/full", *SHORT), 1, "No space left on device")
    expect(snug("extract", SAMPLES / "receipt-01.png", "-o", "/no/such/folder/out.jsonl"), 1, "/no/such/folder")


def start_long_run(folder, wait_rows, *more):
    """A run over many documents, after the first few have been read."""
    out = folder / "out.jsonl"
    many = [str(SAMPLES / "receipt-07.png")] * 200
    process = subprocess.Popen([SNUG, "extract", *many, "-o", str(out), *more], stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 240
    while time.time() < deadline and sum(p.stat().st_size for p in folder.iterdir()) < wait_rows * 1000:
        time.sleep(0.05)
    return process, out


@case
def interrupted(folder):
    process, out = start_long_run(folder, 2)
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "interrupted" in message and "200 documents" in message, message
    rows = rows_of(out.read_text())
    assert rows and all(row["status"] == "ok" for row in rows) and f"{len(rows)} of 200" in message, message
    assert os.listdir(folder) == ["out.jsonl"], os.listdir(folder)


def without_timing(path):
    return [json.dumps(row) for row in without_timing_text(path.read_text())]


def without_timing_text(text):
    rows = rows_of(text)
    assert all("timing_ms" in row for row in rows)
    return [{k: v for k, v in row.items() if k != "timing_ms"} for row in rows]


@case
def several_at_once(folder):
    documents = sorted(SAMPLES.glob("*.png"))[::4 if os.environ.get("SNUG_SLOW") else 1]
    (folder / "cut.png").write_bytes(documents[0].read_bytes()[:2000])
    documents.insert(len(documents) // 2, folder / "cut.png")
    texts = {}
    for number in (1, 3, 64):
        out = folder / f"{number}.jsonl"
        result = snug("extract", *documents, "--parallel", number, "-o", out)
        expect(result, 1, f"{len(documents)} of {len(documents)} documents", "1 failed",
               "tokens/s together" if number > 1 else ", answer ")
        texts[number] = without_timing(out)
    assert len(texts[1]) == len(documents) and texts[1] == texts[3] == texts[64]
    assert [json.loads(text)["document"] for text in texts[3]] == [str(path) for path in documents]
    assert sum('"bad_format"' in text for text in texts[3]) == 1
    sampled = []
    for number in (1, 3):
        out = folder / f"sampled-{number}.jsonl"
        expect(snug("extract", *documents[:5], "--parallel", number, "-o", out, "--temperature", 0.8, "--seed", 4,
                    "--max-new-tokens", 60), 1)
        sampled.append(without_timing(out))
    assert sampled[0] == sampled[1]


@case
def several_at_once_interrupted(folder):
    process, out = start_long_run(folder, 4, "--parallel", "4")
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "interrupted" in message and "200 documents" in message, message
    rows = rows_of(out.read_text())
    assert rows and all(row["status"] == "ok" for row in rows) and f"{len(rows)} of 200" in message, message
    assert os.listdir(folder) == ["out.jsonl"], os.listdir(folder)


@case
def killed(folder):
    process, out = start_long_run(folder, 2)
    process.kill()
    process.wait(timeout=60)
    assert not out.exists(), "a half-written file has the name of the whole one"


@case
def one_file_is_enough(folder):
    copy = folder / "snug"
    shutil.copy(SNUG, copy)
    result = subprocess.run([str(copy), "extract", str(SAMPLES / "receipt-01.png")], cwd="/", env={},
                            capture_output=True, text=True, timeout=300)
    expect(result, 0)
    assert "Rosa Chen" in result.stdout


@case
def evaluates(folder):
    out = folder / "out.jsonl"
    expect(snug("extract", SAMPLES / "receipt-01.png", SAMPLES / "bank-statement-01.png", "-o", out), 0)
    result = snug("eval", out, SAMPLES / "truth.csv")
    expect(result, 0)
    last = result.stdout.splitlines()[-1]
    assert last.startswith("accuracy: present ") and last.endswith(" %"), last
    report = json.loads(snug("eval", out, SAMPLES / "truth.csv", "--json").stdout)
    assert report["documents"] == 2, report
    expect(snug("eval", out, folder / "no.csv"), 2, "no.csv")
    (folder / "bad.csv").write_text('image_file,TOTAL\n"a,1\n')
    expect(snug("eval", out, folder / "bad.csv"), 2, "bad.csv")
    expect(snug("eval", SAMPLES / "receipt-01.png", SAMPLES / "truth.csv"), 2, "receipt-01.png")


@case
def inspects(_):
    expect(snug("inspect"), 0, "snug-nano (embedded)", "usable")
    for name, text in [("hf-a", "Hugging Face layout"), ("hf-b", "RMSNorm"), ("orig", "original layout")]:
        expect(snug("inspect", GOLDEN / "internvl" / name), 0, text, "usable")
    expect(snug("inspect", GOLDEN / "internvl/hf-a", "--tensors"), 0, "language_model.lm_head.weight")
    expect(snug("inspect", SAMPLES), 3, "PROBLEM")
    expect(snug("inspect", "/no/such"), 3, "no such folder")


@case
def reads_with_every_layout(_):
    for name in ("hf-a", "hf-b", "orig"):
        expect(snug("extract", SAMPLES / "receipt-01.png", "-m", GOLDEN / "internvl" / name, "--max-tiles", 3, *SHORT), 1,
               "1 partial")


@case
def convert(folder):
    out = folder / "q8"
    result = snug("convert", "--embedded", out)
    expect(result, 0, "text.layer.0", "vision.layer.3", "55 weights quantised")
    assert "model.safetensors" in os.listdir(out) and "tokenizer.json" in os.listdir(out)
    inspected = snug("inspect", out)
    expect(inspected, 0, "converted        q8", "usable")
    sample = SAMPLES / "receipt-01.png"
    a = rows_of(snug("extract", sample, "-m", out, "-q", *SHORT).stdout)[0]
    b = rows_of(snug("extract", sample, "--quantize", "q8", "-q", *SHORT).stdout)[0]
    assert a["raw"] == b["raw"] and a["fields"] == b["fields"], (a, b)
    expect(snug("convert", "--embedded", out), 2, "not empty")
    expect(snug("convert", out, folder / "again"), 2, "is a converted folder")
    expect(snug("convert", folder / "nothing", folder / "x"), 3, "no such model folder")
    expect(snug("convert", folder), 2, "give the folder")
    expect(snug("convert", "--embedded", folder / "y", "--quantize", "q5"), 2, "q8, q4 or none")
    expect(snug("convert", "--embedded", folder / "y", "--quantize-skip", "head"), 2, "vision, projector, text")
    expect(snug("extract", sample, "-m", out, "--quantize", "q4"), 2, "converted with --quantize q8")
    expect(snug("extract", sample, "-m", out, "--quantize-skip", "vision"), 2, "converted with --quantize-skip")
    expect(snug("extract", sample, "--quantize", "int8"), 2, "q8, q4 or none")
    expect(snug("convert", "--embedded", folder / "no" / "such", "-q"), 1)
    weights = out / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5000])
    expect(snug("extract", sample, "-m", out), 3, "model.safetensors")


@case
def convert_on_a_full_disk(folder):
    def limit():
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000000, 2000000))

    out = folder / "q8"
    result = subprocess.run([SNUG, "convert", "--embedded", str(out)], capture_output=True, text=True, preexec_fn=limit)
    expect(result, 1, "model.safetensors", "File too large")
    assert "model.safetensors" not in os.listdir(out), os.listdir(out)
    assert len([n for n in os.listdir(out) if "safetensors" in n]) == 0, os.listdir(out)
    expect(snug("extract", SAMPLES / "receipt-01.png", "-m", out), 3)
    expect(snug("convert", "--embedded", out, "-q"), 0)


@case_in_full
def bench(folder):
    expect(snug("bench"), 2, "peak, ops or model")
    expect(snug("bench", "peak", "--isa", "ref"), 2, "--isa ref")
    expect(snug("bench", "model", "-m", folder / "none", "--quick"), 3, "no such model folder")
    for what in ("peak", "ops", "model"):
        result = snug("bench", what, "--quick", "--json")
        expect(result, 0)
        report = json.loads(result.stdout)
        assert set(report) == {"machine", "peaks", "rows"}, report.keys()
        assert set(report["peaks"]) == {"f32_gflops", "bf16_gops", "int8_gops", "read_gbs"}
        assert all(v > 0 for v in report["peaks"].values()), report["peaks"]
        for row in report["rows"]:
            assert set(row) == {"name", "shape", "value", "unit", "ratio_to_limit"}, row
            assert row["ratio_to_limit"] is None or row["ratio_to_limit"] > 0, row
        names = {row["name"] for row in report["rows"]}
        wanted = {"peak": set(), "ops": {"gemm_q8", "gemv_q8", "gemm_f32", "gemv_q4", "attention_prefill"},
                  "model": {"vision_tile", "prefill_128", "decode_512", "decode_x4_512", "load", "memory_peak"}}[what]
        assert wanted <= names, (wanted, names)


PLAN_KEYS = {"fits", "rung", "budget_bytes", "host_budget_bytes", "peak_bytes", "lower_bound_bytes", "gap", "free_bytes",
             "missing_bytes", "consumers", "documents_at_once", "max_tiles", "max_context", "rungs", "host_consumers",
             "second_consumers", "speeds"}
RUNG_KEYS = {"name", "applies", "fits", "device_bytes", "second_bytes", "host_bytes", "slots", "host_units", "kv_on_host",
             "decode_on_host", "rest_on_host", "staging_bytes", "tokens_per_s", "prefill_tokens_per_s", "time", "page"}
RUNGS = ["resident", "narrow", "kv-offload", "reload", "reload-kv-offload", "stream", "hybrid", "cpu"]


def plan(*arguments, code=0):
    result = snug("plan", "--json", *arguments)
    expect(result, code)
    report = json.loads(result.stdout)
    assert PLAN_KEYS <= set(report), PLAN_KEYS - set(report)
    assert sum(c["bytes"] for c in report["consumers"]) == report["peak_bytes"], report
    assert report["lower_bound_bytes"] <= report["peak_bytes"] and 0 <= report["gap"] <= 0.001, report
    assert report["fits"] == (code == 0) == (report["missing_bytes"] == 0), report
    assert not report["fits"] or report["peak_bytes"] <= report["budget_bytes"], report
    for rung in report["rungs"]:
        assert set(rung) == RUNG_KEYS, RUNG_KEYS ^ set(rung)
    if report["fits"]:  # the first that does
        assert report["rung"] == next(r["name"] for r in report["rungs"] if r["fits"]), report
    return report


def on_rung(report, name):
    return next(r for r in report["rungs"] if r["name"] == name)


@case
def plans(folder):
    eight = ["-m", "internvl3-8b", "--quantize", "q8", "--device", "v100-16gb"]
    card = plan(*eight)
    assert [r["name"] for r in card["rungs"]] == RUNGS and not on_rung(card, "narrow")["applies"]
    assert card["rung"] == "resident" and card["rungs"][0]["device_bytes"] == card["peak_bytes"] and card["host_consumers"]
    assert on_rung(card, "cpu")["device_bytes"] == 0 < on_rung(card, "cpu")["host_bytes"]
    plan("-m", "internvl3-8b", "--device", "v100-16gb", "--parallel", 9, "--ladder", "resident", code=4)  # bf16
    most = card["documents_at_once"]
    many = plan(*eight, "--parallel", most, "--ladder", "resident,cpu")
    assert many["rung"] == "resident" and many["free_bytes"] < card["free_bytes"]
    plan(*eight, "--parallel", most + 1, "--ladder", "resident", code=4)
    narrow = plan(*eight, "--parallel", most + 1, "--ladder", "resident,narrow")
    assert narrow["rung"] == "narrow" and narrow["rungs"][1]["slots"] == most, narrow["rungs"]
    peak = card["peak_bytes"]
    plan(*eight, "--budget", peak, "--ladder", "resident")
    short = plan(*eight, "--budget", peak - 1, "--ladder", "resident", code=4)
    assert short["missing_bytes"] == 1
    for name in ("internvl3-1b", "internvl3-2b", "internvl3-14b", "internvl3-38b", "snug-nano"):
        plan("-m", name, "--device", "a100-80gb", "--ladder", "resident")
    expect(snug("plan", "-m", folder / "none"), 3, "neither a model folder nor a known model", "internvl3-38b")
    for more in ([], ["--json"]):
        with open("/dev/full", "w") as full:
            assert subprocess.run([SNUG, "plan", *more], stdout=full, stderr=subprocess.DEVNULL).returncode == 1
    expect(snug("plan", "--svg", "/dev/full"), 1, "/dev/full")
    only = plan("-m", "internvl3-1b", "--device", "a100-40gb", "--ladder", "cpu,cpu")
    assert [r["name"] for r in only["rungs"]] == ["cpu"]
    assert [r["name"] for r in plan()["rungs"]] == ["cpu"] and plan()["rung"] == "cpu"
    (folder / "d.json").write_text('{"devices": [{"name": "lab", "kind": "gpu", "memory": "10GiB", "read_gbs": 500}]}')
    mine = plan(*eight[:4], "--device", "lab", "--devices", folder / "d.json", "--ladder", "resident,stream")
    assert mine["budget_bytes"] == 10 << 30 and mine["peak_bytes"] == peak
    assert mine["rungs"][1]["tokens_per_s"] is None and mine["rungs"][1]["time"] is None  # how fast is its arithmetic?
    (folder / "d.json").write_text('{"devices": [{"name": "lab", "memory": 1, "kin": "gpu"}]}')
    expect(snug("plan", "--devices", folder / "d.json"), 2, "d.json", "kin")
    bare = folder / "bare"
    bare.mkdir()
    shutil.copy(ROOT / "models/snug-nano/config.json", bare)
    assert plan("-m", bare)["weights_bytes"] >= plan()["weights_bytes"]


@case_in_full
def plan_tables(folder):
    table = snug("plan", "-m", "internvl3-8b", "--device", "rtx4060-8gb", "--svg", folder / "plan.svg", "--ladder",
                 "resident,kv-offload")
    expect(table, 4, "DOES NOT FIT on any rung: lacks", "weights.text", "at most", "no rung fits", "kv-offload")
    assert (folder / "plan.svg").read_text().startswith(("<?xml", "<svg"))
    tables = [table.stdout]
    for more in (["-m", "llama-3.2-90b-vision", "--device", "v100-16gb"], ["--device", "sim:12MiB,sim:8MiB", "--parallel", 3], []):
        tables.append(snug("plan", *more).stdout)
        assert "verdict" in tables[-1] and "tokens/s" in tables[-1], tables[-1]
    for line in "\n".join(tables).splitlines():
        assert len(line) <= 80, (len(line), line)


@case_in_full
def plans_stream(_):
    """With weights on the host, time is what the link takes for them."""
    tight = plan("-m", "internvl3-2b", "--quantize", "q8", "--device", "sim:1GiB", "--ladder", "resident,stream,hybrid")
    resident, stream, hybrid = tight["rungs"]
    assert not resident["fits"] and resident["host_units"] == 0, resident
    for rung in (stream, hybrid):
        assert rung["device_bytes"] <= 1 << 30 < resident["device_bytes"], rung
        assert rung["host_bytes"] > resident["host_bytes"] and 1 < rung["host_units"] < tight["units"], rung
    link = tight["speeds"][1]["link_gbs"] * 1e9
    seconds = stream["time"]["copied_bytes"] / link
    assert seconds <= 1 / stream["tokens_per_s"] <= 1.1 * seconds, (seconds, stream)
    assert stream["time"]["waited_ms"] > 0.7 * stream["time"]["total_ms"] and stream["staging_bytes"] > 0, stream
    assert hybrid["time"]["total_ms"] <= stream["time"]["total_ms"], hybrid
    assert hybrid["decode_on_host"] == (hybrid["time"]["host_ms"] > 1), hybrid
    small = plan("--device", "sim:12MiB")  # the embedded model, on what it does not fit
    assert small["rung"] not in ("resident", "cpu") and small["peak_bytes"] <= 12 << 20, small["rung"]
    for device in ("sim:4MiB", "sim:12MiB", "sim:32MiB", "sim:12MiB,sim:8MiB"):  # what extract does
        row, = rows_of(snug("extract", SAMPLES / "receipt-01.png", "--device", device, *SHORT).stdout)
        assert row["rung"] == plan("--device", device, *SHORT)["rung"], (device, row["rung"])
    whole, part = (plan("--device", "sim:64MiB", "--ladder", ladder)["rungs"][0]["host_units"] for ladder in ("stream", "stream,cpu"))
    assert whole > part == 1, (whole, part)  # as extract takes it: a single one is forced
    two = plan("-m", "internvl3-8b", "--quantize", "q8", "--device", "sim:6GiB,rtx4060-8gb", "--ladder", "resident")
    first, second = two["peak_bytes"], two["rungs"][0]["second_bytes"]
    assert sum(c["bytes"] for c in two["second_consumers"]) == second > first and first + second > 8 << 30, (first, second)


@case
def doctor(folder):
    expect(snug("doctor"), 0, "same bits as ref", "sim:SIZE", "all well")
    checked = snug("doctor", "--device", "sim:32MiB")
    expect(checked, 0, "cpu, sim:32MiB", "32.0 MiB free, 0 B ours, 0 B held by others", "all well")
    for name in RUNGS[:-1]:
        assert re.search(rf"^{name} +same bits as cpu, ", checked.stdout, re.M), (name, checked.stdout)
    expect(snug("doctor", "--device", "sim:8MiB,sim:16MiB", "-m", GOLDEN / "mllama/tiny-a"), 0, "sim:8MiB", "tiny-a", "all well")
    expect(snug("doctor", "--device", "sim:8MiB"), 0, "resident           does not fit", "stream             same bits")
    expect(snug("doctor", "--device", "sim:2MiB"), 1, "nothing was checked", "1 problem(s)")
    expect(snug("doctor", "-m", folder / "none"), 3, "no such model folder")
    (folder / "faulty.json").write_text('{"memory": "64MiB", "events": [{"ms": 0, "fail": "launch"}]}')
    faulty = snug("doctor", "--device", f"sim:{folder}/faulty.json")
    expect(faulty, 1, "PROBLEM", "1 problem(s)", "reload             same bits")


def write_png(path, width, height):
    """A page of grey text-like marks, RGB, not interlaced."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    white = b"\0" + b"\xff" * (3 * width)
    marks = b"\0" + (b"\x20" * 18 + b"\xff" * 12) * (width // 10) + b"\xff" * (3 * (width % 10))
    rows = b"".join(marks if y % 40 < 12 and y % 3 else white for y in range(height))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def peak_memory(folder, *arguments):
    """VmHWM of a run, in bytes, as the kernel tells the process itself (what wait4 tells includes this one's)."""
    result = snug(*arguments, "--memory-report", folder / "peak.json")
    assert result.returncode in (0, 1), result.stderr
    return json.loads((folder / "peak.json").read_text())["process_peak_bytes"]


@case
def the_plan_is_kept(folder):
    """What was said beforehand, and what the process took: 0 to 16 MiB apart, never below."""
    tiny = folder / "tiny"  # loading it holds more than running it does: a vocabulary of true size, and little else
    expect(snug("synth", tiny, "--arch", "tiny"), 0)
    of_tiny = [["-m", tiny, "--max-tiles", "1", "--quantize", q] for q in ("none", "q8", "q4")]
    of_tiny += [["-m", GOLDEN / "mllama/tiny-a", "--quantize", q] for q in ("none", "q8")]
    slow = "SNUG_SLOW" in os.environ  # a sanitizer, which takes memory of its own, too
    for width, height in ((448, 448),) if slow else ((2480, 3508), (448, 448), (640, 1800)):
        page, size = folder / f"{width}.png", f"{width}x{height}"
        write_png(page, width, height)
        for more in ([], ["--quantize", "q8"], ["--parallel", "3"], ["--vision-batch", "2", "--prefill-chunk", "64"],
                     *of_tiny[4 * slow:]):
            planned = plan("--page", size, "--max-new-tokens", "5", *more)["peak_bytes"]
            taken = peak_memory(folder, "extract", page, page, "-o", os.devnull, "--page", size, "--max-new-tokens", "5",
                                "--budget", planned, *more)
            over = (planned - taken) / (1 << 20)
            if not slow:
                assert 0 <= over <= 16, f"{size} {more}: planned {planned}, taken {taken}: {over:.1f} MiB over"
            expect(snug("extract", page, "--page", size, "--max-new-tokens", "5", "--budget", planned - 1, *more), 4,
                   "(1 bytes) more than the budget")


def raws(result):
    return [row["raw"] for row in rows_of(result.stdout)]


@case
def llama_vision(folder):
    """The second family, through every command that takes a model."""
    documents = [SAMPLES / "receipt-01.png", SAMPLES / "tax-invoice-02.png", SAMPLES / "bank-statement-03.png"]
    slow = "SNUG_SLOW" in os.environ
    for name in ("tiny-a", "tiny-b")[slow:]:
        model = GOLDEN / "mllama" / name
        expect(snug("inspect", model), 0, "one token", "Llama, instruct template", "usable")
        result = snug("extract", *documents, "-m", model, *SHORT)
        expect(result, 1, "3 partial", "0 regions, 0 blocks")
        assert all(row["tokens"]["image"] == 1 for row in rows_of(result.stdout))
        for more in (["--parallel", "3"], ["--threads", "1"], ["--prefill-chunk", "17"], ["--isa", "ref"])[:1 if slow else 4]:
            assert raws(snug("extract", *documents, "-m", model, *SHORT, *more)) == raws(result), more
        expect(snug("convert", model, folder / name), 0, "text.layer.0", "vision.")
        converted = snug("extract", *documents, "-m", folder / name, *SHORT)
        assert raws(converted) == raws(snug("extract", *documents, "-m", model, "--quantize", "q8", *SHORT))
        planned = plan("-m", model, *SHORT)["peak_bytes"]
        expect(snug("extract", documents[0], "-m", model, *SHORT, "--budget", planned - 1), 4, "(1 bytes) more than the budget")
        expect(snug("extract", documents[0], "-m", model, *SHORT, "--budget", planned), 1, "1 partial")
    for option, code, text in ((["--min-tiles", "2"], 2, "leave out --min-tiles"), (["--max-tiles", "5"], 2, "from 1 to 4"),
                               (["--chat", "internvl-hf"], 2, "--chat llama-base"), (["--system", "be brief"], 3, "--system")):
        expect(snug("extract", documents[0], "-m", model, *SHORT, *option), code, text)
    expect(snug("extract", documents[0], "-m", model, *SHORT, "--chat", "llama-base", "--max-tiles", "1"), 1, "1 partial")
    expect(snug("extract", documents[0], "--chat", "llama"), 2, "--chat internvl-hf")


@case_in_full
def llama_vision_fits_a_card(_):
    """What the README says of 16 GB, by name alone; a name is a program of true shape."""
    by_name = ["-m", "llama-3.2-11b-vision", "--device", "v100-16gb"]
    quantised = [*by_name, "--quantize", "q8", "--quantize-skip", "vision"]
    for documents in (1, 4)["SNUG_SLOW" in os.environ:]:
        report = plan(*quantised, "--parallel", documents, "--ladder", "resident")
        scratch = {c["name"]: c["bytes"] for c in report["consumers"] if c["name"].startswith("scratch.")}
        assert set(scratch) == {"scratch.vision", "scratch.projector", "scratch.prefill", "scratch.decode"}, scratch
        # the scores of one head alone would be 158 MiB more, of all 2.6 GB
        assert max(scratch.values()) < 250 << 20, scratch
    assert report["max_tiles"] == 4, report["max_tiles"]
    plan(*by_name, "--ladder", "resident", code=4)
    plan("-m", "llama-3.2-90b-vision", "--quantize", "q8", "--device", "v100-32gb", "--ladder", "resident", code=4)


@case
def memory_report(folder):
    target = folder / "memory.json"
    documents = sorted(SAMPLES.glob("receipt*.png"))[:4]
    plain = without_timing_text(snug("extract", *documents, *SHORT).stdout)
    variants = ([], ["--elastic"], ["--parallel", "2"], ["--vision-batch", "2", "--prefill-chunk", "40"])
    for more in variants[:2 if "SNUG_SLOW" in os.environ else 4]:
        result = snug("extract", *documents, *SHORT, "--memory-report", target, "--alert", "free=1000TiB,leak=4KiB", *more)
        expect(result, 1, "alert free", "0 blocks")
        assert without_timing_text(result.stdout) == plain, more
        report = json.loads(target.read_text())
        region = report["region"]
        assert report["alerts"] == ["free"] and report["blocks_taken_in_runs"] == 0, report["alerts"]
        assert report["leaked_bytes"] < 1024, report["documents"]  # the C library's sizes of like blocks differ a little
        assert region["num_device_alloc"] == (5 if "--elastic" in more else 1), region
        assert report["regions_taken_after_start"] == (4 if "--elastic" in more else 0)
        assert region["allocated_bytes.all.current"] == 0 < region["allocated_bytes.all.peak"]
        assert region["allocated_bytes.all.peak"] <= region["reserved_bytes.all.peak"] == report["planned"]["region_bytes"]
        assert [p["name"] for p in report["phases"]] == ["vision", "prefill", "decode"]
        assert len(report["documents"]) == 4
        if not more:
            kept = [(d["heap_bytes_before"], d["heap_bytes_after"]) for d in report["documents"][1:]]
            assert all(after - before < 256 for before, after in kept), kept
    expect(snug("extract", documents[0], "-o", target, "--memory-report", target), 2, "the same file")
    # said before anything is read, not after it
    lost = snug("extract", documents[0], *SHORT, "--memory-report", folder / "none/x.json")
    expect(lost, 1, "none/x.json")
    assert not lost.stdout and "documents:" not in lost.stderr, lost
    full = snug("extract", documents[0], *SHORT, "--memory-report", "/dev/full")
    expect(full, 1, "/dev/full")
    assert len(rows_of(full.stdout)) == 1  # the row is worth more than the figures


def write_script(path, events, **figures):
    """A device for the embedded model: 24 MiB hold it on resident with 8 to spare."""
    path.write_text(json.dumps({"memory": "24MiB", "granularity": 65536, **figures, "events": events}))
    return f"sim:{path}"


def answers(text):
    return [(row["document"], row["status"], row["fields"], row["raw"], row["tokens"]) for row in rows_of(text)]


EVENT_KEYS = ["event", "at_ms", "document", "number", "token", "step", "from", "to", "cause", "why", "bytes", "free_bytes",
              "ms", "documents"]
TROUBLES = [  # name, events of the script, more options, moves down and up, a word of the notes
    ("a loss", [{"document": 2, "token": 40, "lose": 0}], [], 1, 1, "token 40: resident -> cpu: "),
    ("a neighbour", [{"document": 2, "neighbour": "12MiB"}, {"document": 3, "neighbour": 0}], [], 1, 1, "others need memory"),
    ("a failing launch", [{"document": 1, "token": 3, "fail": "launch"}], [], 1, 0, "resident -> reload: "),
    ("failing copies", [{"document": 2, "token": 5, "fail": "any", "count": 40}], ["--ladder", "resident,reload,cpu"], 1, None, "could not be entered"),
    ("a loss, two at once", [{"document": 3, "token": 7, "lose": 1}], ["--parallel", "2"], 1, None, "-> cpu: "),
]


@case
def a_ladder_run_tells_what_happened(folder):
    """Whatever the device does, the same answers; and events, rows, summary, report and picture agree on it."""
    documents = sorted(SAMPLES.glob("receipt*.png"))[:4]
    plain = answers(snug("extract", *documents).stdout)
    assert [row[1] for row in plain] == ["ok"] * 4, plain
    for name, script, more, downs, ups, note in TROUBLES[:2 if "SNUG_SLOW" in os.environ else None]:
        device = write_script(folder / "device.json", script)
        log, report, picture = folder / "events.jsonl", folder / "report.json", folder / "run.svg"
        result = snug("extract", *documents, "--device", device, "--events", log, "--memory-report", report,
                      "--timeline", picture, *more)
        expect(result, 0, "4 ok", note, f"moves: {downs} down", "memory of sim:device.json: planned", "memory of the host")
        assert answers(result.stdout) == plain, name
        events = rows_of(log.read_text())
        assert all(list(event) == EVENT_KEYS for event in events), events
        kinds = [event["event"] for event in events]
        assert kinds[0] == "start" and kinds.count("down") == downs and ups in (None, kinds.count("up")), (name, events)
        assert [e["at_ms"] for e in events] == sorted(e["at_ms"] for e in events), events
        down = events[kinds.index("down")]
        assert down["document"] in [str(path) for path in documents] and down["from"] != down["to"], down
        rows = {row["document"]: row for row in rows_of(result.stdout)}
        if down["token"]:  # moves between documents are no document's
            assert rows[down["document"]]["moves"][0] == {"token": down["token"], "from": down["from"], "to": down["to"],
                                                          "why": down["cause"]}, (name, rows[down["document"]]["moves"])
        figures = json.loads(report.read_text())
        ladder = figures["ladder"]
        assert (ladder["down"], ladder["up"]) == (kinds.count("down"), kinds.count("up")), ladder
        assert sum(rung["documents"] for rung in ladder["rungs"]) == 4 and ladder["moving_ms"] > 0, ladder
        assert [d["rung"] for d in figures["documents"]] == [row["rung"] for row in rows.values()], (name, figures["documents"])
        sums = {sum(d["device"].values()) for d in figures["documents"] if d["device"]}
        assert sums == {24 << 20} or ("--parallel" in more and not sums), (name, sums)  # lost before the first row
        root = ElementTree.fromstring(picture.read_text())
        titles = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
        assert sum(t.startswith(("down ", "up ", "retry ")) for t in titles) == len(kinds) - 1, (name, titles)
        assert all(any(path.name in t for t in titles) for path in documents), titles
        assert not [e for e in root.iter() if e.tag.endswith("script")]


@case_in_full
def a_ladder_run_says_in_time_that_memory_runs_short(folder):
    pages = folder / "pages"
    pages.mkdir()
    for i in range(40):
        (pages / f"{i:02}.png").symlink_to(SAMPLES / f"receipt-{i % 10 + 1:02}.png")
    device = write_script(folder / "d.json", [{"document": i, "neighbour": (i - 1) << 18} for i in range(2, 36)])
    result = snug("extract", pages, "--max-new-tokens", "1", "--device", device, "--events", folder / "e",
                  "--memory-report", folder / "r.json")
    expect(result, 1, "snug: alert: ", "at this rate the device's memory is short in about 8 documents")
    events = rows_of((folder / "e").read_text())
    alerts = [e for e in events if e["event"] == "alert"]
    downs = [e for e in events if e["event"] == "down"]
    assert len(alerts) == 1 and 5 <= downs[0]["number"] - alerts[0]["number"] <= 10, events
    trend = json.loads((folder / "r.json").read_text())["ladder"]["trend"]
    assert trend["falling"] and -1.1 < trend["bytes_a_document"] / (1 << 18) < -0.8, trend


@case
def a_ladder_run_without_fallback(folder):
    documents = sorted(SAMPLES.glob("receipt*.png"))[:3]
    device = write_script(folder / "d.json", [{"document": 2, "token": 9, "lose": 0}])
    result = snug("extract", *documents, "--device", device, "--no-fallback", "--events", folder / "e", "--timeline", folder / "t.svg")
    expect(result, 5, "ended after 2 of 3 documents, without a fallback", "the device is lost", "is left, for no other rung")
    rows = rows_of(result.stdout)
    assert [row["status"] for row in rows] == ["ok", "error"] and rows[1]["error"]["code"] == "device_lost", rows
    last = rows_of((folder / "e").read_text())[-1]
    assert (last["event"], last["token"], last["cause"], last["bytes"]) == ("down", 9, "device_lost", 0), last
    assert last["from"] == last["to"] == "resident", last
    ElementTree.fromstring((folder / "t.svg").read_text())


@case_in_full
def events_and_timeline_files(folder):
    document, device = SAMPLES / "receipt-01.png", write_script(folder / "d.json", [])
    for one, other in (("-o", "--events"), ("--memory-report", "--events"), ("--timeline", "-o"), ("--timeline", "--events")):
        expect(snug("extract", document, one, folder / "x", other, folder / "x", "--device", device), 2, "the same file")
    expect(snug("extract", document, "--timeline", folder / "x"), 2, "there is no device")
    for option in ("--events", "--timeline"):
        lost = snug("extract", document, option, folder / "none/x", "--device", device)
        expect(lost, 1, "none/x")
        assert not lost.stdout and "documents:" not in lost.stderr, lost
        full = snug("extract", document, option, "/dev/full", "--device", device)
        expect(full, 1, "cannot write /dev/full: No space left")
        assert rows_of(full.stdout)[0]["status"] == "ok"  # the row is worth more
    # quiet is about people; the log goes on, on standard error too, and without a device
    quiet = snug("extract", document, "-q", "--events", "-")
    expect(quiet, 0)
    assert [e["event"] for e in rows_of(quiet.stderr)] == ["start"], quiet.stderr
    elastic = snug("extract", document, document, "--elastic", "--device", device, "--events", folder / "e")
    expect(elastic, 0, "given back: nothing is being read")
    assert elastic.stderr.count("given back") == 1, elastic.stderr
    assert [e["event"] for e in rows_of((folder / "e").read_text())] == ["start", "give", "give"]


def rehearse(*arguments, code=0):
    result = snug("rehearse", "--json", *arguments)
    expect(result, code)
    *documents, end = [json.loads(line) for line in result.stdout.splitlines()]
    assert end["documents"] == len(documents) and end["high_water_bytes"] <= end["capacity_bytes"], end
    return documents, end


@case
def rehearses(folder):
    """What is rehearsed is what was planned, to the byte, for the models that this is all about."""
    for model in (["-m", "internvl3-8b"], ["-m", "llama-3.2-11b-vision", "--quantize-skip", "vision"]):
        machine = [*model, "--quantize", "q8", "--device", "sim:v100-16gb"]
        documents, end = rehearse(*machine, "-n", "2" if "SNUG_SLOW" in os.environ else "20", "--tokens", "30")
        assert {d["rung"] for d in documents} == {"resident"} and not end["failed"] and not end["moved"], end
        assert end["high_water_bytes"] == on_rung(plan(*machine), "resident")["device_bytes"], end
        assert end["regions_taken_after_start"] == 0, end
    device = write_script(folder / "shared.json", [{"document": 2, "neighbour": "12MiB"}, {"document": 3, "neighbour": 0},
                                                   {"document": 6, "token": 9, "lose": 0}])
    documents, end = rehearse("--device", device, "-n", "8", "--tokens", "20")
    assert [d["rung"] for d in documents][5:7] == ["cpu", "reload"] and not end["failed"], documents
    assert documents[1]["rung"] != "resident" == documents[0]["rung"], documents
    assert {"token": 9, "from": "resident", "to": "cpu", "why": "device_lost"} in documents[5]["moves"], documents
    table = snug("rehearse", "--device", device, "-n", "8", "--tokens", "20").stdout
    assert "token 9: resident -> cpu (device_lost)" in table and "8 documents, 0 failed" in table, table
    assert max(map(len, table.splitlines())) <= 80, table
    for code, text, *arguments in [(2, "sim:v100-16gb", "--device", "cpu"), (2, "not 'attic'", "--ladder", "attic"),
                                   (2, "--device sim:v100-16gb rehearses it", "--device", "v100-16gb"), (2, "made up", "a.png"),
                                   (4, "resident needs 18.0 MiB", "--device", "sim:4MiB", "--ladder", "resident")]:
        expect(snug("rehearse", *arguments), code, text)


@case
def a_killed_run_leaves_its_events(folder):
    log = folder / "events.jsonl"
    device = write_script(folder / "d.json", [{"document": 1, "token": 5, "lose": 0}])
    process = subprocess.Popen([SNUG, "extract", str(SAMPLES), "-o", str(folder / "out.jsonl"), "--device", device, "--events", str(log)],
                               stderr=subprocess.DEVNULL)
    deadline = time.time() + 60
    while time.time() < deadline and not (log.exists() and '"down"' in log.read_text()):
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=60)
    assert [e["event"] for e in rows_of(log.read_text())][:2] == ["start", "down"]
    assert not (folder / "out.jsonl").exists()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@case
def synth_makes_models_that_run(folder):
    expect(snug("synth", folder / "a", "--arch", "tiny"), 0, "73 tensors", "39360512 bytes of weights in 1 file")
    expect(snug("inspect", folder / "a"), 0, "73 of type BF16", "151674 ids", "Hugging Face template", "usable")
    result = snug("extract", SAMPLES / "receipt-01.png", "-m", folder / "a", *SHORT)
    expect(result, 1, "1 partial")
    tokens = rows_of(result.stdout)[0]["tokens"]
    # the prompt's text has about 430 characters
    assert tokens["image"] == 256 and 90 < tokens["prompt"] - tokens["image"] < 220 and tokens["output"] == 3, tokens
    (folder / "b").mkdir()
    result = snug("synth", folder / "b", "--arch", "tiny", "--quiet")
    expect(result, 0)
    assert result.stdout + result.stderr == ""
    assert contents(folder / "a") == contents(folder / "b"), "the same seed gives another folder"
    expect(snug("synth", folder / "c", "--arch", "tiny", "--seed", 2), 0)
    other = {name for name, data in contents(folder / "c").items() if data != contents(folder / "a")[name]}
    assert other == {"model.safetensors"}, other
    expect(snug("synth", folder / "d", "--arch", "tiny-rms", "--outliers", 0.01, "--layers", 1), 0, "40 tensors")
    expect(snug("inspect", folder / "d"), 0, "RMSNorm, q/k norm", "1 layers of 64", "usable")
    expect(snug("extract", SAMPLES / "receipt-01.png", "-m", folder / "d", *SHORT), 1, "1 partial")


@case
def synth_refuses(folder):
    (folder / "full").mkdir()
    (folder / "full/x").write_text("x")
    (folder / "file").write_text("x")
    before = sorted(folder.rglob("*"))
    expect(snug("synth", folder / "full", "--arch", "tiny"), 2, "not empty")
    expect(snug("synth", folder / "file", "--arch", "tiny"), 2, "no folder")
    expect(snug("synth", folder / "none/x", "--arch", "tiny"), 1, "No such file")
    if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free < 70e9:
        target = Path(f"/dev/shm/snug-test-{os.getpid()}")
        expect(snug("synth", target, "--arch", "internvl3-38b"), 1, "1456 tensors", "76776329984 bytes",
               "of the disk is free")
        assert not target.exists()

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000000, 10000000))

    # Python ignores SIGXFSZ, and so does then snug: the write fails as on a full disk
    expect(snug("synth", folder / "x", "--arch", "tiny", preexec_fn=small_files, restore_signals=False), 1,
           "File too large")
    assert sorted(folder.rglob("*")) == before


def start_synth(target):
    """A synth that has written some of its weights."""
    process = subprocess.Popen([SNUG, "synth", str(target), "--arch", "internvl3-1b"], stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 120
    while time.time() < deadline and not (target.exists() and sum(p.stat().st_size for p in target.iterdir()) > 3000000):
        time.sleep(0.005)
    return process


@case
def synth_interrupted(folder):
    process = start_synth(folder / "x")
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "interrupted" in message, message
    assert not list(folder.iterdir())


@case
def synth_killed(folder):
    process = start_synth(folder / "x")
    process.kill()
    process.wait(timeout=60)
    assert not (folder / "x/config.json").exists()
    expect(snug("inspect", folder / "x"), 3, "config.json")


def memory_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def check_offsets(rows, peak):
    """Independent of the program: no two that live together share a byte."""
    boxes = [tuple(int(row[key]) for key in ("lower", "upper", "size", "offset")) for row in rows]
    for i, (lower, upper, size, offset) in enumerate(boxes):
        assert 0 <= offset and offset + size <= peak, boxes[i]
        for other in boxes[:i]:
            assert lower >= other[1] or other[0] >= upper or offset >= other[3] + other[2] or \
                other[3] >= offset + size, (boxes[i], other)
    assert max(offset + size for _, _, size, offset in boxes) == peak


@case
def memory_plans(folder):
    source, out = ROOT / "tests/data/minimalloc/C.1048576.csv", folder / "plan.csv"
    result = snug("memory", source, "--capacity", 1048576, "--plan-out", out, "--json", "--time-limit", 120)
    expect(result, 0)
    plan = json.loads(result.stdout)["plan"]
    assert list(plan) == ["peak_bytes", "lower_bound_bytes", "gap", "seconds"], plan
    assert plan["peak_bytes"] <= 1048576 and plan["lower_bound_bytes"] == 1039360, plan
    assert abs(plan["gap"] - (1 - 1039360 / plan["peak_bytes"])) < 1e-9, plan
    rows = memory_rows(out)
    assert [{k: v for k, v in row.items() if k != "offset"} for row in rows] == memory_rows(source)
    check_offsets(rows, plan["peak_bytes"])
    assert list(folder.iterdir()) == [out]
    # what was written is a plan that stays as it is
    again = snug("memory", out, "--json")
    expect(again, 0)
    assert json.loads(again.stdout)["plan"]["peak_bytes"] == plan["peak_bytes"]
    expect(snug("memory", source, "--time-limit", 60), 0, "1039360 bytes", "nothing could be smaller")


@case
def memory_refuses(folder):
    source = ROOT / "tests/data/minimalloc/D.1048576.csv"
    out = folder / "plan.csv"
    expect(snug("memory", source, "--capacity", 986111, "--plan-out", out), 4, "there is no plan within 986111",
           "lower bound is 986112")
    result = snug("memory", source, "--capacity", 986112, "--time-limit", 0.2, "--json")
    expect(result, 4, "no plan found within 986112", "the best has a peak of", "--time-limit")
    assert result.stdout == ""
    assert not out.exists()
    for name, text in [("size-0", ":2: size is 0"), ("double-id", ":4: id 'a' stands here again"), ("empty", "is empty")]:
        path = ROOT / "tests/data/minimalloc-bad" / (name + ".csv")
        expect(snug("memory", path), 2, f"{path}{text}" if text[0] == ":" else text)
    expect(snug("memory", folder / "none.csv"), 2, "none.csv")
    expect(snug("memory"), 2, "takes one file")
    expect(snug("memory", source, "--capacity", 0), 2, "whole number from 1")
    pinned = folder / "pinned.csv"
    pinned.write_text("id,lower,upper,size,offset\na,0,4,8,0\nb,2,6,8,4\n")
    expect(snug("memory", pinned), 2, "pinned")
    expect(snug("memory", ROOT / "tests/data/minimalloc/C.1048576.csv", "--plan-out", folder / "no/where.csv"), 1, "where.csv")
    expect(snug("memory", ROOT / "tests/data/minimalloc/C.1048576.csv", "--plan-out", "/dev/full"), 1, "No space")


@case
def memory_interrupted(folder):
    out = folder / "plan.csv"
    process = subprocess.Popen([SNUG, "memory", str(ROOT / "tests/data/minimalloc/D.1048576.csv"), "--time-limit", "600",
                                "--plan-out", str(out), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    output, message = process.communicate(timeout=60)
    assert process.returncode == 0, (process.returncode, message)
    check_offsets(memory_rows(out), json.loads(output)["plan"]["peak_bytes"])


print(f"{counts['passed']} passed, {counts['failed']} failed, 0 skipped")
sys.exit(1 if counts["failed"] else 0)
