"""Prints those requirements of the installed PyTorch without which it cannot be imported: the packages of CUDA libraries that
the loader does not find, or finds in a version that is too old. For scripts/setup_interop."""
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path


def requirements_by_library():
    """A package is named after its library, and so are the parts of cuda-toolkit."""
    found = {}
    for line in importlib.metadata.requires("torch"):
        requirement = line.split(";")[0].strip()
        parts = re.match(r"(cuda-toolkit)\[(.*)\](.*)", requirement)
        if parts:
            found.update({part: f"{parts[1]}[{part}]{parts[3]}" for part in parts[2].split(",")})
        package = re.match(r"nvidia-(\w+)-cu\d+", requirement)
        if package:
            found[package[1]] = requirement
    return found


def libraries_not_found():
    folder = Path(importlib.util.find_spec("torch").origin).parent / "lib"
    listed = [subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
              for path in folder.glob("*.so*")]
    return set(re.findall(r"lib(\S+?)\.so\S* => not found", "".join(listed)))


def symbols_not_found():
    """A library's functions begin with its name."""
    failed = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, text=True, check=False)
    return set(re.findall(r"undefined symbol: (\w+)", failed.stderr))


def main():
    by_library = requirements_by_library()

    def requirements_of(wanted):
        matches = [[name for name in by_library if one.lower().startswith(name)] for one in wanted]
        return {by_library[max(names, key=len)] for names in matches if names}

    for requirement in sorted(requirements_of(libraries_not_found()) or requirements_of(symbols_not_found())):
        print(requirement)


if __name__ == "__main__":
    main()
