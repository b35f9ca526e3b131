"""Drover's models in Transformers and Transformers' models in Drover (docs/hugging_face.md): the same logits, the same
greedy text, the same bits there and back, the same loss."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import interop_environment

interop_environment.enter()

import exported_model  # noqa: E402
import numpy  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

DROVER = os.environ["DROVER_BIN"]
LOGITS = Path(os.environ["DROVER_TOOLS"]) / "logits_tool"
SOURCE = Path(os.environ["DROVER_SOURCE_DIR"])
MPIRUN = os.environ.get("DROVER_MPIRUN", "").split()
VOCABULARY, LENGTH = 320, 160
PROMPT, NEW_TOKENS = "The weights of a", 30

# Of the model; `ranks` trains with two tensor ranks. The scaled one is evaluated at five times its original length.
SHAPES = {
    "grouped heads, tied": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
                            "intermediate_size": 96, "tie_word_embeddings": True},
    "full heads, untied, from two ranks": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
                                           "intermediate_size": 128, "rms_norm_eps": 1e-6, "rope_theta": 10000.0},
    "odd sizes": {"hidden_size": 54, "num_attention_heads": 3, "num_key_value_heads": 1, "intermediate_size": 77,
                  "num_hidden_layers": 3, "vocab_size": 331},
    "heads of a size of their own": {"hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2,
                                     "head_dim": 20, "intermediate_size": 100, "tie_word_embeddings": True},
    "scaled RoPE": {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 96,
                    "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                     "original_max_position_embeddings": 32}},
}


def drover(*arguments, ranks=1):
    command = [DROVER, *map(str, arguments)]
    done = subprocess.run((MPIRUN + [str(ranks)] if ranks > 1 else []) + command, capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout


def write_yaml(path, config):
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


class HuggingFace(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.at = Path(folder.name)
        pages = sorted((SOURCE / "docs").glob("*.md"))
        cls.text = "\n".join(page.read_text() for page in pages)
        cls.tokenizer, cls.store = cls.at / "tokenizer.json", cls.at / "pages.h5"
        drover("data", "train-tokenizer", *pages, "--vocab-size", VOCABULARY, "--out", cls.tokenizer)
        drover("data", "prepare", *pages, "--tokenizer", cls.tokenizer, "--out", cls.store)

    def trained(self, name, shape, **more):
        """A run of a few steps in float32; its YAML."""
        folder = self.at / name.replace(" ", "_")
        config = {"run": {"name": "trained", "dir": str(folder)},
                  "model": {"num_hidden_layers": 2, "vocab_size": VOCABULARY, **shape},
                  "data": {"tokenizer": str(self.tokenizer), "sources": [{"store": str(self.store)}]},
                  "train": {"dtype": "float32", "sequence_length": LENGTH, "batch_tokens": 8 * LENGTH, "steps": 40},
                  "optimizer": {"lr": 1e-2, "warmup_steps": 5}, "checkpoint": {"every": 1000}, **more}
        yaml = write_yaml(self.at / f"{folder.name}.yaml", config)
        drover("train", yaml, ranks=config.get("parallel", {}).get("tensor", 1))
        return yaml, folder

    def logits(self, yaml, checkpoint, ids):
        tokens, out = self.at / "tokens", self.at / "logits"
        numpy.asarray(ids, dtype="<i4").tofile(tokens)
        subprocess.run([LOGITS, yaml, checkpoint, tokens, out], check=True)
        return torch.from_numpy(numpy.fromfile(out, dtype="<f4").reshape(len(ids), -1))

    def check_logits(self, ours, theirs):
        """docs/numerics.md: within 1e-4 of the largest logit; the same likeliest token wherever its margin is larger."""
        tolerance = 1e-4 * theirs.abs().max()
        difference = (ours - theirs).abs().max()
        self.assertLess(difference, tolerance)
        best = theirs.topk(2).values
        clear = best[:, 0] - best[:, 1] > tolerance
        self.assertGreater(clear.sum(), 0.9 * len(clear))
        self.assertTrue(torch.equal(ours.argmax(-1)[clear], theirs.argmax(-1)[clear]))
        return float(difference / theirs.abs().max())

    def question(self, folder):
        return {"folder": str(folder), "text": self.text[3000:4000], "length": LENGTH, "prompt": PROMPT,
                "new_tokens": NEW_TOKENS}

    def ask_version_4(self, folders):
        """What exported_model.read returns, of each."""
        request, answer = self.at / "request.json", self.at / "answer.npz"
        request.write_text(json.dumps([self.question(folder) for folder in folders]))
        subprocess.run([sys.executable, exported_model.__file__, request, answer], check=True,
                       env={**os.environ, "PYTHONPATH": str(interop_environment.TRANSFORMERS_4)})
        with numpy.load(answer) as arrays:
            self.assertTrue(str(arrays["version"]).startswith("4."), arrays["version"])
            return [{key: arrays[f"{folder}:{key}"] for key in ("bos", "ids", "logits", "new", "text")}
                    for folder in folders]

    def check_model(self, yaml, checkpoint, read):
        self.assertEqual(read["ids"][0], read["bos"])
        self.assertEqual(len(read["ids"]), LENGTH)
        difference = self.check_logits(self.logits(yaml, checkpoint, read["ids"]), torch.from_numpy(read["logits"]))
        self.assertGreater(read["new"], 5)
        generated = drover("generate", yaml, "--checkpoint", checkpoint, "--prompt", PROMPT, "--temperature", 0, "--tokens",
                           NEW_TOKENS).decode()
        self.assertEqual(generated, str(read["text"]) + "\n")
        return difference

    def exported(self, name, shape):
        """A trained model: its YAML, its checkpoint, and what is made of it for Transformers."""
        more = {"parallel": {"tensor": 2}} if "two ranks" in name and MPIRUN != [""] else {}
        yaml, run = self.trained(name, shape, **more)
        folder = run.with_name(run.name + "_hf")
        drover("checkpoint", "export", run, "--out", folder, "--max-shard-size", "100KB")
        self.assertTrue((folder / "model.safetensors.index.json").exists())
        return yaml, run / "checkpoints" / "attempt_1" / "step_0000000040", folder

    def test_an_exported_model_has_our_logits_and_our_greedy_text_in_versions_5_and_4(self):
        self.assertTrue(transformers.__version__.startswith("5."), transformers.__version__)
        models = [self.exported(name, shape) for name, shape in SHAPES.items()]
        answers = self.ask_version_4([folder for _, _, folder in models])
        for name, (yaml, checkpoint, folder), of_4 in zip(SHAPES, models, answers):
            for version, read in ((5, exported_model.read(**self.question(folder))), (4, of_4)):
                with self.subTest(f"{name}, version {version}"):
                    difference = self.check_model(yaml, checkpoint, read)
                    print(f"{name}, version {version}: {difference:.1e} of the largest logit")

    def test_two_bytes_are_the_rounded_float32_and_load_as_they_are(self):
        _, run = self.trained("rounded", SHAPES["grouped heads, tied"])
        drover("checkpoint", "export", run, "--out", self.at / "float32")
        exact = load_file(self.at / "float32" / "model.safetensors")
        for dtype in (torch.bfloat16, torch.float16):
            name = str(dtype).removeprefix("torch.")
            drover("checkpoint", "export", run, "--out", self.at / name, "--dtype", name)
            rounded = load_file(self.at / name / "model.safetensors")
            self.assertEqual(exact.keys(), rounded.keys())
            for key, tensor in exact.items():
                self.assertTrue(torch.equal(tensor.to(dtype), rounded[key]), key)
            model = transformers.AutoModelForCausalLM.from_pretrained(self.at / name, dtype="auto")
            self.assertEqual(model.dtype, dtype)

    def made_by_transformers(self, name, dtype=torch.float32, **config):
        torch.manual_seed(1)
        folder = self.at / name
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=96, initializer_range=0.1, max_position_embeddings=512, **config)).to(dtype)
        model.save_pretrained(folder, max_shard_size="60KB")
        (folder / "tokenizer.json").write_bytes(self.tokenizer.read_bytes())
        return folder

    def all_tensors(self, folder):
        tensors = {}
        for file in sorted(folder.glob("*.safetensors")):
            tensors.update(load_file(file))
        return tensors

    def check_round_trip(self, folder, dtype):
        run, out = folder.with_name(folder.name + "_run"), folder.with_name(folder.name + "_out")
        drover("checkpoint", "import", folder, "--out", run)
        drover("checkpoint", "export", run, "--out", out, "--dtype", dtype)
        before, after = self.all_tensors(folder), self.all_tensors(out)
        self.assertEqual(before.keys(), after.keys())
        for name, tensor in before.items():
            self.assertEqual(tensor.dtype, after[name].dtype)
            self.assertTrue(torch.equal(tensor.view(torch.uint8), after[name].view(torch.uint8)), name)
        configs = [transformers.LlamaConfig.from_pretrained(path).to_dict() for path in (folder, out)]
        for key in ("rope_parameters", "rms_norm_eps", "tie_word_embeddings", "head_dim", "max_position_embeddings"):
            self.assertEqual(configs[0][key], configs[1][key], key)
        return run

    def test_a_model_of_transformers_comes_back_with_the_same_bits(self):
        scaled = {"rope_type": "llama3", "rope_theta": 20000.0, "factor": 4.0, "low_freq_factor": 1.0,
                  "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
        for name, dtype, config in (("tied", torch.float32, {"tie_word_embeddings": True}),
                                    ("untied", torch.bfloat16, {"rope_parameters": scaled}),
                                    ("half", torch.float16, {})):
            with self.subTest(name):
                folder = self.made_by_transformers(name, dtype, **config)
                self.check_round_trip(folder, str(dtype).removeprefix("torch."))

    def test_a_configuration_of_version_4_is_the_same_model(self):
        scaled = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 64}
        folder = self.made_by_transformers("version_4", rope_parameters={**scaled, "rope_theta": 20000.0})
        config = json.loads((folder / "config.json").read_text())
        del config["rope_parameters"], config["dtype"]
        config |= {"rope_theta": 20000.0, "rope_scaling": scaled, "torch_dtype": "float32",
                   "transformers_version": "4.43.0"}
        (folder / "config.json").write_text(json.dumps(config))
        self.check_round_trip(folder, "float32")

    def test_an_imported_model_has_their_logits_and_trains_on_from_their_loss(self):
        folder = self.made_by_transformers("trained_on")
        run = self.check_round_trip(folder, "float32")
        documents = [self.text[begin:begin + 150] for begin in range(0, 1500, 300)]
        (self.at / "few.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
        drover("data", "prepare", self.at / "few.jsonl", "--tokenizer", run / "tokenizer.json", "--out", self.at / "few.h5")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder.with_name("trained_on_out"))
        rows = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in documents]
        tokens = sum(map(len, rows))
        yaml = write_yaml(self.at / "more.yaml", {
            "base": str(run / "model.yaml"), "data": {"sources": [{"store": str(self.at / "few.h5")}]},
            "train": {"dtype": "float32", "sequence_length": tokens, "batch_tokens": tokens, "steps": 4},
            "optimizer": {"lr": 1e-3, "warmup_steps": 1}})
        drover("train", yaml)
        losses = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]

        # The first step's row is every document once: the mean over targets that each document has for itself.
        model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            sums = [model(torch.tensor([row]), labels=torch.tensor([row])).loss * (len(row) - 1) for row in rows]
            theirs = model(torch.tensor([rows[0]])).logits[0]
        expected = float(sum(sums) / sum(len(row) - 1 for row in rows))
        self.assertAlmostEqual(losses[0] / expected, 1, delta=1e-5)
        self.assertEqual(len(losses), 4)
        self.assertLess(losses[-1], losses[0])
        self.check_logits(self.logits(yaml, run / "checkpoints" / "attempt_0" / "step_0000000000", rows[0]), theirs)

    def test_another_model_than_the_imported_one_does_not_train(self):
        folder = self.made_by_transformers("bound")
        run = self.check_round_trip(folder, "float32")
        done = subprocess.run([DROVER, "train", write_yaml(self.at / "other.yaml", {
            "base": str(run / "model.yaml"), "model": {"rope_theta": 77.0}, "data": {"synthetic": {"vocab_size": 320}},
            "train": {"sequence_length": 32, "batch_tokens": 64, "steps": 1}})], capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"model.rope_theta was 10000", done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
