"""`drover data` as a person uses it: train a tokenizer, prepare, inspect; pipes, terminals and exit codes."""
import contextlib
import json
import os
import pty
import random
import resource
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

DROVER = os.environ["DROVER_BIN"]
SOURCE = Path(os.environ["DROVER_SOURCE_DIR"])
GOLDEN = SOURCE / "tests" / "data" / "tokenizer" / "golden"
TEXTS = ["It was a dark and stormy night;\r\n", "naïve café \U0001f600 <|end_of_text|>", "x" * 5000, "\tdef f(x):\n\t\treturn x\n"]


def drover(*arguments, stdin=b"", status=0):
    done = subprocess.run([DROVER, "data", *map(str, arguments)], input=stdin, capture_output=True, check=False)
    text = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == status, f"{arguments}: exit {done.returncode}, not {status}: {text}"
    return text


class DataCommands(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.at = Path(self.folder.name)
        self.lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
        self.input = self.at / "in.jsonl"
        self.input.write_bytes(self.lines)

    def prepare(self, *more, tokenizer=GOLDEN / "llama3.json", out="out.h5", **how):
        return drover("prepare", "--tokenizer", tokenizer, "--out", self.at / out, *more, **how)

    def test_from_text_to_a_store_whose_beginning_inspect_shows_as_text(self):
        (self.at / "texts").mkdir()
        for number, text in enumerate(TEXTS):
            (self.at / "texts" / f"{number}.txt").write_bytes(text.encode())
        tokenizer = self.at / "tokenizer.json"
        trained = drover("train-tokenizer", self.at / "texts", "--vocab-size", 300, "--out", tokenizer)
        self.assertIn("300 tokens", trained)
        summary = self.prepare(self.at / "texts", tokenizer=tokenizer)
        self.assertIn("store: 4 documents", summary)
        self.assertIn("1 documents with CR LF, kept", summary)
        self.assertIn("1 names of special tokens, encoded as text", summary)
        self.assertNotIn("\r", summary)
        shown = drover("inspect", self.at / "out.h5", "--tokenizer", tokenizer, "--verify")
        self.assertIn("documents         4", shown)
        self.assertIn("every digest, offset and id", shown)
        self.assertIn("<|begin_of_text|>It was a dark and stormy night;", shown)

    def test_tokenizers_of_hugging_face_and_of_tiktoken_encode_and_decode(self):
        for name in ("llama3.json", "gpt2.json", "ranks.model"):
            self.prepare(self.input, tokenizer=GOLDEN / name, out=name + ".h5")
            shown = drover("inspect", self.at / (name + ".h5"), "--tokenizer", GOLDEN / name)
            self.assertIn("It was a dark", shown)

    def test_a_pipe_gives_the_store_that_the_file_gives_and_threads_change_nothing(self):
        words = random.Random(1)
        lines = b"".join(json.dumps({"text": " ".join(words.choices(TEXTS, k=4)) + str(n)}).encode() + b"\n"
                         for n in range(2400))  # 12 MB: two waves of two threads, and many batches of each
        self.input.write_bytes(lines)
        self.prepare(self.input, "--threads", 1, out="file.h5")
        self.prepare("-", "--threads", 1, out="pipe.h5", stdin=lines)
        self.prepare("-", "--threads", 2, out="threads.h5", stdin=lines)
        expected = (self.at / "file.h5").read_bytes()
        self.assertEqual((self.at / "pipe.h5").read_bytes(), expected)
        self.assertEqual((self.at / "threads.h5").read_bytes(), expected)

    def test_the_held_out_text_has_as_many_bytes_as_its_store_says(self):
        lines = "".join(json.dumps({"text": f"text number {i}"}) + "\n" for i in range(200)).encode()
        self.prepare("-", "--holdout-fraction", 0.3, "--holdout-out", self.at / "h.h5", "--holdout-text",
                     self.at / "h.txt", stdin=lines)
        shown = drover("inspect", self.at / "h.h5")
        self.assertIn(f"bytes of text     {(self.at / 'h.txt').stat().st_size} ", shown)
        self.assertIn("part              holdout (held out: 0.3 of documents)", shown)

    def test_on_a_terminal_there_is_one_live_line(self):
        leader, follower = pty.openpty()
        command = [DROVER, "data", "prepare", self.input, "--tokenizer", GOLDEN / "llama3.json", "--out", self.at / "t.h5"]
        # By a shell on that terminal: under a parent that is on none, as mpirun's ranks may be, there is no live line.
        shell = ["sh", "-c", '"$@"; exit $?', "sh", *map(str, command)]
        subprocess.run(shell, stdout=follower, check=True)
        os.close(follower)
        shown = os.read(leader, 65536).decode()
        os.close(leader)
        self.assertIn("\r\x1b[K100 %", shown)

    def test_what_is_wrong_with_the_command_line_exits_2(self):
        for wrong in (["--format", "csv"], ["--bos", "maybe"], ["--threads", 0], ["--holdout-fraction", 1.5],
                      ["--holdout-fraction", 0.1]):
            self.prepare(self.input, *wrong, status=2)
        self.assertFalse((self.at / "out.h5").exists())

    def test_threads_that_the_system_does_not_give_are_an_error_of_usage(self):
        def little_address_space():
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))  # a thread's stack takes 8 MiB of it
            resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))

        before = sorted(os.listdir(self.at))
        tokenizer = ["--tokenizer", GOLDEN / "llama3.json"]
        for verb, more in (("prepare", tokenizer), ("train-tokenizer", [])):
            done = subprocess.run([DROVER, "data", verb, self.input, "--out", self.at / "out", "--threads", "1000", *more],
                                  preexec_fn=little_address_space, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertRegex(done.stderr, r"cannot start 1000 threads, number \d+ failed: .*; ask for fewer")
        self.assertEqual(sorted(os.listdir(self.at)), before)

    def test_what_is_wrong_with_the_input_exits_3_and_leaves_nothing(self):
        before = sorted(os.listdir(self.at))
        self.assertIn("nowhere.txt", self.prepare(self.at / "nowhere.txt", status=3))
        self.assertIn("standard input:2", self.prepare("-", stdin=b'"ok"\n{"no": 1}\n', status=3))
        self.assertIn("nothing.json", self.prepare(self.input, tokenizer="nothing.json", status=3))
        drover("inspect", self.input, status=3)
        self.assertEqual(sorted(os.listdir(self.at)), before)

    def test_an_output_that_exists_is_replaced_only_when_asked(self):
        self.prepare(self.input)
        self.assertIn("--replace", self.prepare(self.input, status=2))
        self.prepare(self.input, "--replace")

    @contextlib.contextmanager
    def preparing_from_a_pipe(self):
        """The process, which has begun to write. It leaves nothing."""
        before = sorted(os.listdir(self.at))
        command = [DROVER, "data", "prepare", "-", "--tokenizer", GOLDEN / "llama3.json", "--out", self.at / "out.h5",
                   "--threads", "1"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
            while sorted(os.listdir(self.at)) == before:
                time.sleep(0.01)
            yield running
            with contextlib.suppress(BrokenPipeError):
                running.stdin.close()
        self.assertEqual(sorted(os.listdir(self.at)), before)

    def test_a_signal_ends_preparing_and_leaves_nothing_though_the_pipe_was_closed_in_order(self):
        with self.preparing_from_a_pipe() as running:
            running.stdin.write(self.lines)
            running.stdin.flush()
            running.send_signal(signal.SIGINT)
            running.stdin.close()
            said = running.stderr.read().decode()
            self.assertEqual(running.wait(), 75, said)
        self.assertIn("stopped by SIGINT", said)

    def test_a_signal_ends_preparing_from_a_pipe_that_stays_open_and_quiet(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.preparing_from_a_pipe() as running:
                running.stdin.write(self.lines)
                running.stdin.flush()
                running.send_signal(number)
                self.assertEqual(running.wait(timeout=30), 75)

    def test_an_error_does_not_wait_for_a_quiet_pipe(self):
        with self.preparing_from_a_pipe() as running:
            more_than_a_wave = (json.dumps("some words " * 10_000) + "\n").encode() * 60
            with contextlib.suppress(BrokenPipeError):
                running.stdin.write(b'{"no": 1}\n' + more_than_a_wave)
                running.stdin.flush()
            self.assertEqual(running.wait(timeout=30), 3)
            self.assertIn("standard input:1: has no string", running.stderr.read().decode())

    def test_help_teaches_with_an_example(self):
        for verb in ("train-tokenizer", "prepare", "inspect"):
            self.assertIn(f"  drover data {verb} ", drover(verb, "--help"))


if __name__ == "__main__":
    unittest.main()
