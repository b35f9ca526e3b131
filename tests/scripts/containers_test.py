"""The two container recipes do what docs/install.md says to do by hand, and both the same."""

import os
import pathlib
import re
import unittest

SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])
CONTAINERS = SOURCE / "containers"


def commands(text):
    """Of `a && b \\` lines and of lines: each command by itself."""
    joined = text.replace("\\\n", " ")
    return [" ".join(command.split()) for line in joined.splitlines() for command in line.split("&&") if command.strip()]


def dockerfile_stages():
    """(base image, commands) of each stage."""
    text = (CONTAINERS / "Dockerfile").read_text().replace("\\\n", " ")
    stages = []
    for line in text.splitlines():
        if line.startswith("FROM "):
            stages.append((line.split()[1], []))
        if line.startswith("RUN "):
            stages[-1][1].extend(commands(line[4:]))
    return stages


def without_what_is_ignored(commands_of_stage):
    """Apptainer copies all of the folder: its recipe goes there and removes what Docker does not copy."""
    ignored = " ".join(line.rstrip("/") for line in (SOURCE / ".dockerignore").read_text().split())
    prologue = ["cd /src", f"rm -rf {ignored}"]
    return commands_of_stage[2:] if commands_of_stage[:2] == prologue else commands_of_stage


def apptainer_stages():
    stages = []
    for stage in (CONTAINERS / "drover.def").read_text().split("Bootstrap: docker\n")[1:]:
        base = re.search(r"^From: (\S+)$", stage, re.MULTILINE)[1]
        post = re.search(r"^%post\n((?:    .*\n)+)", stage, re.MULTILINE)[1]
        stages.append((base, without_what_is_ignored(commands(post))))
    return stages


class Containers(unittest.TestCase):
    def test_both_recipes_run_the_same_commands_on_the_same_system(self):
        self.assertEqual(len(dockerfile_stages()), 2)
        self.assertEqual(dockerfile_stages(), apptainer_stages())

    def test_they_install_what_the_page_on_installing_says(self):
        page = (SOURCE / "docs" / "install.md").read_text()
        block = next(block for block in re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
                     if block.startswith("tar -xzf"))
        by_hand = [command.replace("drover-*", "/tmp/package/drover-*") for command in commands(block)]
        by_hand.remove("drover doctor")
        installed = dockerfile_stages()[1][1]
        self.assertEqual(installed[:len(by_hand)], by_hand)

    def test_the_scripts_they_call_are_there(self):
        for _, stage in dockerfile_stages():
            for command in stage:
                if command.startswith("scripts/"):
                    self.assertTrue(os.access(SOURCE / command, os.X_OK), command)


if __name__ == "__main__":
    unittest.main()
