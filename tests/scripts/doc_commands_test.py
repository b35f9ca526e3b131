"""Every command that the pages show is one that works.

A page's fenced blocks say what they are: `sh` blocks are commands, and are run in order by bash in a folder of the
page's own, with the program as `drover` on PATH and as build/release/drover. `yaml` and `python` blocks that begin with
a comment `# NAME.yaml` or `# NAME.py` are written to that file first. All else (`text` ...) is shown only. A command may
fail where its line ends in the comment `# exits with N`.

doc_commands.toml says what a page needs beforehand, which numbers of its YAML are too large for a test, which programs
are stood in for, and which blocks are not run as they stand: those tagged `long` or `gpu`, with what is run instead of
them and why. Those tagged `interop` run where the Python environment of `scripts/setup --interop` is.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "interop")]
import interop_environment  # noqa: E402  (found through the path just set)
import skips  # noqa: E402

SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])
DROVER = pathlib.Path(os.environ["DROVER_BIN"])
LIST = pathlib.Path(__file__).with_name("doc_commands.toml")
TAGS = {"long", "gpu", "interop"}
SHOWN = {"text", "python", "json", "yaml", "cpp"}
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages():
    return [SOURCE / "README.md", SOURCE / "CONTRIBUTING.md", *sorted(SOURCE.glob("docs/*.md"))]


def name_of(page):
    return str(page.relative_to(SOURCE))


def blocks_of(page):
    return [(match[1], match[2]) for match in FENCE.finditer(page.read_text())]


def first_line(block):
    return block.strip().splitlines()[0].strip()


def file_of(block):
    """The file that a block is, by its first line."""
    named = re.fullmatch(r"# ([\w.-]+\.(?:yaml|py))", first_line(block))
    return named and named[1]


def with_announced_codes(block):
    """Bash for the block, in which every command must end with 0 or with the code that its comment announces."""
    def checked(line):
        announced = re.search(r"# exits with (\d+)\s*$", line)
        if not announced:
            return line
        return f"set +e\n{line}\ncode=$?\nset -e\n" \
               f'[ $code -eq {announced[1]} ] || {{ echo "exit code $code, not {announced[1]}"; exit 99; }}'
    return "\n".join(map(checked, block.splitlines()))


class Workplace:
    """Where a page's blocks run."""

    def __init__(self, folder, stand_ins):
        self.folder = pathlib.Path(folder)
        programs = self.folder / ".programs"
        programs.mkdir()
        (programs / "drover").symlink_to(DROVER)
        for stand_in in stand_ins:
            path = programs / stand_in["program"]
            path.write_text(f"#!/bin/bash\n{stand_in['script'].strip()}\n")
            path.chmod(0o755)
        (self.folder / "build").mkdir()
        (self.folder / "build" / "release").symlink_to(DROVER.parent)
        for shared in ("configs", "containers", "docs", "scripts", "tests"):
            (self.folder / shared).symlink_to(SOURCE / shared)
        # The host may be smaller than what a page is written for, and root.
        self.environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(self.folder),
                            "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
                            "DROVER_SOURCE_DIR": str(SOURCE)}

    def run(self, commands, what):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", with_announced_codes(commands)], cwd=self.folder,
                              env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=150, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{what}: exit code {done.returncode}\n{commands}\n{done.stdout[-4000:]}")


class DocCommands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        listed = tomllib.loads(LIST.read_text())
        cls.needs = {page["name"]: page for page in listed["page"]}
        cls.listed = {(block["page"], block["first"]): block for block in listed["block"]}
        cls.stand_ins = listed["stand_in"]

    def test_every_block_says_what_it_is(self):
        for page in pages():
            self.assertEqual(page.read_text().count("\n```") % 2, 0, f"{page} has an open block")
            for language, block in blocks_of(page):
                self.assertIn(language, SHOWN | {"sh"}, f"{name_of(page)}: {first_line(block)}")

    def test_what_is_listed_is_there_and_names_what_runs_instead(self):
        there = {(name_of(page), first_line(block)) for page in pages() for language, block in blocks_of(page)
                 if language == "sh"}
        self.assertEqual(set(self.listed) - there, set(), "listed, but on no page")
        for key, block in self.listed.items():
            self.assertIn(block["tag"], TAGS, key)
            self.assertTrue("instead" in block or block["tag"] == "interop", key)
            self.assertEqual("instead" in block, bool(block.get("why")), key)
        self.assertTrue(all(stand_in["why"] for stand_in in self.stand_ins))

    def test_changes_to_yaml_are_to_what_a_page_has(self):
        for name, needs in self.needs.items():
            text = (SOURCE / name).read_text()
            for was, _ in needs.get("reduce", []):
                self.assertIn(was, text, name)

    def test_every_link_leads_to_a_page(self):
        for page in pages():
            for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
                self.assertTrue((page.parent / target).exists(), f"{name_of(page)}: {target}")

    def run_commands(self, workplace, page, block):
        """As they stand, or what is listed instead."""
        name = f"{page}: {first_line(block)}"
        listed = self.listed.get((page, first_line(block)), {})
        block = listed.get("instead", block)
        if listed.get("tag") != "interop":
            workplace.run(block, name)
        elif interop_environment.is_made():
            workplace.run(f'PATH="{interop_environment.ENVIRONMENT}/bin:$PATH"\n{block}', name)
        else:
            skips.say_skipped("interop", name)

    def run_page(self, page):
        name = name_of(page)
        needs = self.needs.get(name, {})
        with tempfile.TemporaryDirectory() as folder:
            workplace = Workplace(folder, self.stand_ins)
            if "prepare" in needs:
                workplace.run(needs["prepare"], f"{name}, prepared")
            for language, block in blocks_of(page):
                if language == "sh":
                    self.run_commands(workplace, name, block)
                elif file_of(block):
                    for was, becomes in needs.get("reduce", []):
                        block = block.replace(was, becomes)
                    (workplace.folder / file_of(block)).write_text(block)


def add_page_tests():
    for page in pages():
        if any(language == "sh" for language, _ in blocks_of(page)):
            def test(self, page=page):
                self.run_page(page)
            setattr(DocCommands, f"test_the_commands_of_{page.stem.lower()}_work", test)


add_page_tests()

if __name__ == "__main__":
    if "mpi OFF" in subprocess.run([DROVER, "--version"], text=True, capture_output=True, check=True).stdout:
        skips.skip_program("mpi", "most pages start ranks as processes")
    unittest.main()
