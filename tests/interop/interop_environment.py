"""The Python environment that `scripts/setup --interop` makes, for the tests that need it.

A test begins with `interop_environment.enter()`: it goes on under the environment's Python, or, where there is none,
is skipped.
"""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import skips  # noqa: E402  (found through the path just set)

SOURCE = Path(__file__).resolve().parents[2]
ENVIRONMENT = SOURCE / (os.environ.get("DROVER_INTEROP_ENV") or "build/interop")
LLAMA3_MODEL = ENVIRONMENT / "llama3" / "llama_models" / "llama3" / "tokenizer.model"  # Meta's, in tiktoken's form
MISTRAL_MODEL = ENVIRONMENT / "mistral" / "mistral_common" / "data" / "tokenizer.model.v1"  # Mistral 7B's, SentencePiece's form
TRANSFORMERS_4 = ENVIRONMENT / "transformers4"  # for the front of PYTHONPATH, instead of version 5
TEXTS = [ENVIRONMENT / "texts" / "django", ENVIRONMENT / "texts" / "django" / "conf" / "locale"]  # code; many scripts


def is_made():
    return (ENVIRONMENT / "made-of-requirements.txt").exists()


def enter():
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        return
    if not is_made():
        skips.skip_program("interop", f"there is no {ENVIRONMENT}; scripts/setup --interop makes it")
    python = ENVIRONMENT / "bin" / "python"
    # Compiled modules are kept, but not beside the tests: importing Transformers anew takes a quarter of a minute.
    os.environ["PYTHONPYCACHEPREFIX"] = str(ENVIRONMENT / "pycache")
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    os.execv(python, [python, *sys.argv])
