"""Rows of wrong_input_rows.py: runs, checkpoints, models of Transformers, several ranks."""

from wrong_input_row import (
    FRESH, NESTED, RESUMED, Row, STARTED, STEP_2, STEP_4, both, change, cut, drover, file, flip, flip_middle,
    folder, link, live_run, mount, move, remove, reseal, yaml,
)

# ---- runs and checkpoints ------------------------------------------------------------------------------------------

DAMAGED_ALL = both(flip_middle(f"{STEP_2}/rank_00000.h5"), cut(f"{STEP_4}/rank_00000.h5", 0.5))
# A run that fails after it has trained says why in its result.json.
FULL = r"small/run(/(lock|run\.json|config\.yaml|metrics\.jsonl|result\.json|logs(/.*)?|checkpoints(/attempt_\d+(\.json)?)?))?"
EVAL_4 = f"eval run.yaml --checkpoint {STEP_4}"

RUNS = [
    Row("--fresh where a run is", "train run.yaml --fresh", 2,
        ("--fresh: runs/run holds a run already", "leave --fresh out")),
    Row("--resume-from a step that is not there", "train run.yaml --resume-from 3", 3,
        ("--resume-from 3", "no such checkpoint", "step_0000000002"), changes=RESUMED),
    Row("a setting that may not change", "train run.yaml --set run.seed=7", 2,
        ("run.seed was 1, now 7", "another run.dir"), changes=r"runs/run/lock"),
    Row("a dry run with another tokenizer", "train run.yaml --dry-run --set data.tokenizer=other.json", 3,
        ("store.h5 was made with another tokenizer", "other.json", "data.tokenizer")),
    Row("a run that is live", "train run.yaml --set run.dir=runs/live", 2,
        ("runs/live is in use", "process", "Wait for it"), live_run, changes=r"runs/live(/.*)?"),
    Row("a file in the place of the run directory", "train run.yaml --set run.dir=docs.jsonl", 3,
        ("docs.jsonl", "Not a directory")),
    Row("a run directory that cannot be written", "train run.yaml --set run.dir=sealed/run", 3,
        ("sealed/run", "read-only"), mount("sealed", "-o", "ro,size=1m"), needs_mount=True),
    Row("a full disk while a checkpoint is written", "train run.yaml --set run.dir=small/run", 3,
        ("small/run/checkpoints", "No space left", "free space there"), mount("small", "-o", "size=160k"),
        needs_mount=True, changes=FULL),
    Row("a run.json that is damaged", "train run.yaml", 3,
        ("runs/run/run.json is not a run's run.json", "move it away"), file("runs/run/run.json", "{"),
        changes=r"runs/run/lock"),
    Row("a folder in the place of metrics.jsonl", "train run.yaml", 3,
        ("runs/run/metrics.jsonl: Is a directory", "move the directory away"),
        both(remove("runs/run/metrics.jsonl"), folder("runs/run/metrics.jsonl")), changes=RESUMED),
    Row("no checkpoint that verifies", "train run.yaml", 3,
        ("none of the 2 checkpoints in runs/run/checkpoints verifies", "restore one"), DAMAGED_ALL, changes=RESUMED),
    Row("checkpoints of a model of other sizes", f"eval run.yaml --checkpoint {STEP_4} --set model.hidden_size=64",
        3, (STEP_4, "64")),
    Row("a checkpoint of another model of the same sizes",
        f"eval run.yaml --checkpoint {STEP_4} --set model.rope_theta=10000", 2, ("model.rope_theta", STEP_4)),
    Row("no such checkpoint", "eval run.yaml --checkpoint runs/none", 3, ("runs/none", "No such file")),
    Row("a run without checkpoints", "eval run.yaml --set run.dir=runs/none", 3,
        ("no checkpoint in runs/none/checkpoints", "train first")),
    Row("eval without a hold-out", "eval run.yaml --set data.holdout=null", 2,
        ("data.holdout is not set in run.yaml", "name a token store")),
    Row("generate without a tokenizer", "generate run.yaml --set data.tokenizer=null", 2,
        ("data.tokenizer is not set in run.yaml",)),
    Row("eval on a hold-out of another tokenizer", "eval run.yaml --set data.holdout=other.h5", 3,
        ("other.h5 was made with another tokenizer", "prepare it with that one")),
    Row("generate with another tokenizer of the same size", "generate run.yaml --set data.tokenizer=same_size.json", 3,
        ("same_size.json is another tokenizer", "take that one")),
    Row("generate with a tokenizer larger than the model's vocabulary", "generate run.yaml --set data.tokenizer=large.json", 3,
        ("large.json has", "model.vocab_size is 300"), drover("data", "train-tokenizer", "texts", "docs.jsonl",
        "run.yaml", "--vocab-size", "310", "--out", "large.json")),
    Row("a checkpoint's file with a flipped bit", EVAL_4, 3, (STEP_4, "rank_00000.h5"),
        flip_middle(f"{STEP_4}/rank_00000.h5")),
    Row("a checkpoint's file that is cut off", EVAL_4, 3, (STEP_4, "rank_00000.h5"),
        cut(f"{STEP_4}/rank_00000.h5", 0.9)),
    Row("a checkpoint's file that is gone", EVAL_4, 3, (STEP_4, "rank_00000.h5"), remove(f"{STEP_4}/rank_00000.h5")),
    Row("a checkpoint's file that is a link", EVAL_4, 3, ("rank_00000.h5", "symbolic links are not followed"),
        link(f"{STEP_4}/rank_00000.h5", f"../step_0000000002/rank_00000.h5")),
    Row("a manifest with a flipped bit", EVAL_4, 3, (f"{STEP_4}/manifest.json: does not match its own digest",),
        flip(f"{STEP_4}/manifest.json", b'"version": ')),
    Row("a manifest that is cut off", EVAL_4, 3, (f"{STEP_4}/manifest.json: does not match its own digest",),
        cut(f"{STEP_4}/manifest.json", 0.8)),
    Row("an empty manifest", EVAL_4, 3, (f"{STEP_4}/manifest.json: does not match its own digest",),
        file(f"{STEP_4}/manifest.json", "")),
    Row("a manifest that names a file outside", EVAL_4, 3, (f'{STEP_4}/manifest.json: "name"',),
        lambda here: reseal(here / STEP_4 / "manifest.json", b'"name":"model.norm.weight"', b'"name":"../../x"')),
    Row("a table that is damaged", EVAL_4, 3, (f"{STEP_4}/table.bin is not what was written",),
        flip_middle(f"{STEP_4}/table.bin")),
    Row("a step that the run has not saved", "eval run.yaml --checkpoint runs/run:3", 3,
        ("runs/run/checkpoints has no checkpoint of step 3; it has 4, 2",)),
    Row("a record of accepted checkpoints that is damaged", "train run.yaml", 3,
        ("runs/run/checkpoints/attempt_1.json says which checkpoints", "is damaged"),
        file("runs/run/checkpoints/attempt_1.json", "{"), changes=RESUMED),
    Row("verify of a damaged checkpoint", f"checkpoint verify {STEP_4}", 3, ("1 checkpoint is damaged", "restore"),
        flip_middle(f"{STEP_4}/rank_00000.h5")),
    Row("inspect of a folder without checkpoints", "checkpoint inspect texts", 3,
        ("texts holds no checkpoint", "run directory")),
    Row("hash where nothing verifies", "checkpoint hash runs/run", 3, ("none of the 2 checkpoints",), DAMAGED_ALL),
]

# ---- models of Transformers -----------------------------------------------------------------------------------------

IMPORT = "checkpoint import hf --out runs/in"
EXPORT = "checkpoint export runs/run --out out"
WEIGHTS = "hf/model.safetensors"


def header(edit):
    """model.safetensors with the JSON of its header changed, and its length right."""

    def spoil(data):
        length = int.from_bytes(data[:8], "little")
        changed = edit(data[8 : 8 + length])
        return len(changed).to_bytes(8, "little") + changed + data[8 + length :]

    return change(WEIGHTS, spoil)


INDEX = '{"metadata": {}, "weight_map": {"lm_head.weight": "%s"}}'

TRANSFORMERS = [
    Row("import of a folder that is not there", "checkpoint import none --out runs/in", 3,
        ("none/config.json is not there", "name the folder")),
    Row("import without weights", IMPORT, 3, ("hf", "safetensors"), remove(WEIGHTS)),
    Row("import where a run is", "checkpoint import hf --out runs/run", 2,
        ("runs/run is there already", "choose another name")),
    Row("import of another architecture", IMPORT, 3, ("hf/config.json", "MistralForCausalLM"),
        change("hf/config.json", lambda data: data.replace(b"LlamaForCausalLM", b"MistralForCausalLM"))),
    Row("a config.json that is cut off", IMPORT, 3, ("hf/config.json is no JSON object",),
        cut("hf/config.json", 0.5)),
    Row("a config.json nested without end", IMPORT, 3, ("hf/config.json: nested deeper than 32 levels",),
        file("hf/config.json", b'{"hidden_size": ' + b"[" * 500_000 + b"}")),
    Row("a config.json of another model", IMPORT, 3, ("hf",),
        change("hf/config.json", lambda data: data.replace(b'"hidden_size": 32', b'"hidden_size": 64'))),
    Row("safetensors that are cut off", IMPORT, 3, (WEIGHTS,), cut(WEIGHTS, 0.9)),
    Row("empty safetensors", IMPORT, 3, (WEIGHTS,), file(WEIGHTS, b"")),
    Row("safetensors with a header of 2^63 bytes", IMPORT, 3, (WEIGHTS,),
        change(WEIGHTS, lambda data: b"\xff" * 7 + b"\x7f" + data[8:])),
    Row("safetensors with a flipped bit in the header", IMPORT, 3, (WEIGHTS,), flip(WEIGHTS, b'"data_offsets":[')),
    Row("safetensors nested without end", IMPORT, 3, (WEIGHTS, "nested deeper than 32 levels"),
        header(lambda json: b'{"x":' + NESTED + b"}")),
    Row("a tensor of more bytes than the file", IMPORT, 3, (WEIGHTS,),
        header(lambda json: json.replace(b'"shape":[32]', b'"shape":[4611686018427387904]', 1))),
    Row("an index that names a file outside", IMPORT, 3, ("hf/model.safetensors.index.json",),
        both(remove(WEIGHTS), file("hf/model.safetensors.index.json", INDEX % "../../etc/passwd"))),
    Row("an index of a shard that is not there", IMPORT, 3, ("hf/none.safetensors", "No such file"),
        both(remove(WEIGHTS), file("hf/model.safetensors.index.json", INDEX % "none.safetensors"))),
    Row("weights that are a link", IMPORT, 3, (WEIGHTS, "symbolic links are not followed"),
        both(move(WEIGHTS, "elsewhere"), link(WEIGHTS, "../elsewhere"))),
    Row("import with a full disk", "checkpoint import hf --out small/in", 3, ("small/in", "free space there"),
        mount("small", "-o", "size=64k"), needs_mount=True),
    Row("export of a run without checkpoints", "checkpoint export texts --out out", 3,
        ("texts holds no checkpoint",)),
    Row("export where something is", "checkpoint export runs/run --out texts", 2,
        ("texts is there already", "choose another name")),
    Row("export with a tokenizer that is not there", EXPORT + " --tokenizer none.json", 3, ("none.json is not there",)),
    Row("export with another tokenizer of the same size", EXPORT + " --tokenizer same_size.json", 3,
        ("same_size.json is another tokenizer", "take that one")),
    Row("export in a form that is none", EXPORT + " --format torch", 2, ("checkpoint export: ", "torch")),
    Row("export in shards of nothing", EXPORT + " --max-shard-size 0", 2,
        ("--max-shard-size is 0", "at least 1 byte")),
    Row("export with a full disk", "checkpoint export runs/run --out small/out", 3,
        ("small/out", "free space there"), mount("small", "-o", "size=64k"), needs_mount=True),
]

# ---- several ranks -------------------------------------------------------------------------------------------------

RANKS = [
    Row("two ranks and no configuration", "train", 2, ("train: CONFIG is required",), ranks=2),
    Row("two ranks and an unknown key", "train bad.yaml", 2, ("bad.yaml:2:9: train.sequence_lenght",),
        yaml("train: {sequence_lenght: 8}"), ranks=2),
    Row("two ranks and an option's wrong value", "generate run.yaml --top-p 2", 2, ("--top-p is 2",), ranks=2),
    Row("two ranks and no such store", FRESH + " data.sources[0].store=none.h5", 3, ("none.h5", "No such file"),
        ranks=2, changes=STARTED),
    Row("two ranks and a layout of three", FRESH + " parallel.shard=3", 2,
        ("the 2 that were started", "shard 3", "start more ranks"), ranks=2),
    Row("three ranks and a layout of two times the rest", FRESH + " parallel.tensor=2", 2,
        ("3 ranks", "must divide the ranks", "1 or 3"), ranks=3),
    Row("two ranks and no checkpoint that verifies", "train run.yaml", 3, ("none of the 2 checkpoints",),
        DAMAGED_ALL, ranks=2, changes=RESUMED),
    Row("two ranks and a run that is live", "train run.yaml --set run.dir=runs/live", 2, ("runs/live is in use",),
        live_run, ranks=2, changes=r"runs/live(/.*)?"),
    Row("two ranks and a full disk", "train run.yaml --set run.dir=small/run", 3,
        ("No space left", "free space there"), mount("small", "-o", "size=160k"), ranks=2, needs_mount=True,
        changes=FULL),
    Row("four copies that Slurm started and MPI does not see", FRESH, 2,
        ("the launcher started 4 processes, but each sees a world of 1", "srun --mpi=pmix"),
        environment={"SLURM_STEP_NUM_TASKS": "4"}, needs_mpi=True),
    Row("copies that PMI started and MPI does not see", FRESH, 2,
        ("the launcher started 2 processes, but each sees a world of 1",), environment={"PMI_SIZE": "2"}),
]
