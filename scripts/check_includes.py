#!/usr/bin/env python3
"""Checks the structure of the C++ sources: who includes whom between folders and between their rooms, cycles,
#pragma once, sizes of files and rooms.

usage: check_includes.py [ROOT]      prints the rooms and one line per fault; exit 1 if there is any
"""

import pathlib
import re
import sys

# The include table of docs/design.md: a folder may include itself and these.
ALLOWED = {
    "core": set(),
    "parallel": {"core"},
    "data": {"core"},
    "model": {"core", "parallel"},
    "optim": {"core", "parallel"},
    "checkpoint": {"core", "parallel"},
    "train": {"core", "parallel", "data", "model", "optim", "checkpoint"},
    "launch": {"core", "parallel", "data", "model", "optim", "checkpoint", "train"},
}
# The rooms of each folder, in their order: a file may include files of its own room and of rooms before it. "" is the
# folder itself. The tests of a room lie in the folder of the same name under tests/.
ROOMS = {
    "core": ["base", "tensor", "ops", "watch", "files", "config", "cpu", "cuda"],
    "parallel": ["comm", "comm/host", "comm/local", "comm/mpi", "comm/nccl", "mesh", "pipeline", "fsdp", "regions"],
    "data": ["unicode", "tokenizer", "documents", "store", "prepare", "order", "batch"],
    "model": [""],
    "optim": [""],
    "checkpoint": ["format", "", "write", "read", "safetensors"],
    "train": [""],
    "launch": ["process", "config", "run", "hugging_face", "doctor", "commands", ""],
}
# Those that compile everything: they may include any folder, and no folder may include them.
OUTSIDE = {"tests", "bench"}

# Headers that cost seconds or leak a library's names: only .cpp files, and as few as possible.
HEAVY = {
    "mpi": r"mpi(-ext)?\.h",
    "nccl": r"nccl\.h",
    "hdf5": r"hdf5(_hl)?\.h|H5[A-Za-z]*public\.h",
    "yaml-cpp": r"yaml-cpp/.*",
    "oneDNN": r"(oneapi/dnnl/)?dnnl\w*\.(hpp|h)",
    "cuDNN": r"cudnn\w*\.h",
    "spdlog": r"spdlog/.*",
    "fmt": r"fmt/.*",
    "CLI11": r"CLI/.*",
    "nlohmann-json": r"nlohmann/.*",
    "PCRE2": r"pcre2\.h",
}

MAX_LINES = 500
MAX_SOURCES = 25  # of a room; tables of data aside
SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}
SOURCE_SUFFIXES = (".cpp", ".cu")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def sources(root):
    """Relative path -> text of every source file in Drover's folders."""
    found = {}
    for folder in sorted(ALLOWED | {name: set() for name in OUTSIDE}):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                found[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8")
    return found


def own_includes(files):
    """Relative path -> the files of ours it includes (by path from the root, as the house style has it)."""
    graph = {}
    for name, text in files.items():
        graph[name] = [quoted for quoted, _ in INCLUDE.findall(text) if quoted]
    return graph


def folder_of(name):
    return name.split("/", 1)[0]


def table_faults(graph):
    for name, targets in graph.items():
        folder = folder_of(name)
        for target in targets:
            to = folder_of(target)
            if "/" not in target and target != "build_info.h":
                yield f'{name}: includes "{target}": write the path from the repository root'
            elif folder in OUTSIDE or to == folder or target == "build_info.h":
                continue
            elif to not in ALLOWED[folder]:
                yield f'{name}: {folder} may not include {to} ("{target}")'


def room_of(name):
    return name.rpartition("/")[0].partition("/")[2]


def room_faults(graph):
    for name, targets in graph.items():
        folder, room = folder_of(name), room_of(name)
        if folder in OUTSIDE:
            continue
        order = ROOMS[folder]
        if room not in order:
            yield f"{name}: {folder} has no room {room!r}; its rooms are {', '.join(filter(None, order))}"
            continue
        for target in targets:
            if folder_of(target) != folder or room_of(target) not in order:
                continue
            if order.index(room_of(target)) > order.index(room):
                yield f'{name}: the room {room!r} comes before {room_of(target)!r} and may not include it ("{target}")'


def room_of_tests_faults(names):
    for name in names:
        folder, _, room = room_of(name).partition("/")
        if folder_of(name) == "tests" and folder in ROOMS and room not in ("", *ROOMS[folder]):
            yield f"{name}: {folder} has no room {room!r}"


def room_sizes(names):
    """Room, as a path -> how many source files it holds, tables of data aside."""
    sizes = {}
    for name in names:
        if folder_of(name) in ROOMS and name.endswith(SOURCE_SUFFIXES) and not name.endswith("_table.cpp"):
            room = name.rpartition("/")[0]
            sizes[room] = sizes.get(room, 0) + 1
    return sizes


def room_size_faults(names):
    for room, size in room_sizes(names).items():
        if size > MAX_SOURCES:
            yield f"{room}: {size} source files, at most {MAX_SOURCES}"


def missing_faults(graph):
    for name, targets in graph.items():
        for target in targets:
            if folder_of(target) in ALLOWED and target not in graph:
                yield f'{name}: includes "{target}", which does not exist'


def cycle(graph):
    """One cycle as a list of names (first repeated at the end), or None."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name):] + [name]
        if name in done:
            return None
        path.append(name)
        for target in sorted(graph.get(name, ())):
            found = visit(target)
            if found:
                return found
        path.pop()
        done.add(name)
        return None

    for name in sorted(graph):
        found = visit(name)
        if found:
            return found
    return None


def folder_graph(graph):
    folders = {}
    for name, targets in graph.items():
        to = {folder_of(target) for target in targets if target in graph} - {folder_of(name)}
        folders.setdefault(folder_of(name), set()).update(to)
    return folders


def cycle_faults(graph):
    for kind, edges in (("files", graph), ("folders", folder_graph(graph))):
        found = cycle(edges)
        if found:
            yield f"{kind} include each other: {' -> '.join(found)}"


def text_faults(files):
    for name, text in files.items():
        lines = text.count("\n")
        if lines > MAX_LINES:
            yield f"{name}: {lines} lines, at most {MAX_LINES}"
        if name.endswith((".h", ".cuh")) and not re.search(r"^#pragma once$", text, re.MULTILINE):
            yield f"{name}: no #pragma once"


def heavy_users(files):
    """Library -> the files that include it."""
    users = {library: [] for library in HEAVY}
    for name, text in files.items():
        headers = [bracketed or quoted for quoted, bracketed in INCLUDE.findall(text)]
        for library, pattern in HEAVY.items():
            if any(re.fullmatch(pattern, header) for header in headers):
                users[library].append(name)
    return users


def heavy_faults(users):
    for library, names in users.items():
        for name in names:
            if name.endswith((".h", ".cuh")) and folder_of(name) not in OUTSIDE:
                yield f"{name}: a header of ours includes {library}"


def faults(files):
    graph = own_includes(files)
    return [
        *table_faults(graph),
        *room_faults(graph),
        *room_of_tests_faults(files),
        *room_size_faults(files),
        *missing_faults(graph),
        *cycle_faults(graph),
        *text_faults(files),
        *heavy_faults(heavy_users(files)),
    ]


def report(files):
    print(f"{len(files)} files, longest {max((t.count(chr(10)) for t in files.values()), default=0)} lines")
    sizes = room_sizes(files)
    for folder, rooms in ROOMS.items():
        listed = ", ".join(f"{room or '.'} {sizes.get(f'{folder}/{room}'.rstrip('/'), 0)}" for room in rooms)
        print(f"{folder}: source files by room, in order: {listed}")
    for library, names in heavy_users(files).items():
        ours = [name for name in names if folder_of(name) not in OUTSIDE]
        if ours:
            print(f"{library}: {len(ours)} file{'s' * (len(ours) != 1)} ({', '.join(ours)})")


def main(arguments):
    if len(arguments) > 1:
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent)
    files = sources(root)
    found = faults(files)
    report(files)
    for fault in found:
        print(f"FAULT {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
