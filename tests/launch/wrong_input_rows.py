"""The table of wrong_input_test.py, and the page that is made of it."""

from wrong_input_data import STORES, TEXTS
from wrong_input_runs import RANKS, RUNS, TRANSFORMERS
from wrong_input_words import CONFIGURATION, FILES, USAGE

SECTIONS = {
    "Keys and values of a configuration": CONFIGURATION,
    "The file of a configuration": FILES,
    "Words on the command line": USAGE,
    "Texts and tokenizers": TEXTS,
    "Token stores": STORES,
    "Runs and checkpoints": RUNS,
    "Models of Transformers": TRANSFORMERS,
    "Several ranks": RANKS,
}
ROWS = [row for rows in SECTIONS.values() for row in rows]
DATA_ROWS = [*TEXTS, *STORES]

INTRODUCTION = """# Wrong input

Written by `tests/launch/wrong_input_test.py --docs`; the test fails when this page and its table differ.

Whatever is wrong, Drover prints one message that begins with `drover: `, from one rank, and says what is wrong, where
(file with line and column, key, or path) and what to do. Nothing half-written stays behind. What the exit codes stand
for is in [My run died](run_died.md): here it is 2 where the command or the configuration is to be corrected, and 3
where a file is, or the disk that it is on.

Where something can be used nevertheless there is a line that begins with `warning: `: a setting without effect, or a
checkpoint that does not verify while an older one does.

Files are taken for what they are: a link that a checkpoint or a folder of weights names is not followed, names inside
of such files are plain names, HDF5 files hold contiguous datasets of numbers and nothing else, sizes are compared with
the file before memory is taken. `scripts/fuzz` feeds every reader with damaged files.
"""


def document():
    """docs/wrong_input.md."""
    text = INTRODUCTION
    for title, rows in SECTIONS.items():
        text += f"\n## {title}\n\n| code | what is wrong |\n|---|---|\n"
        text += "".join(f"| {row.code} | {row.what.replace('|', chr(92) + '|')} |\n" for row in rows)
    return text
