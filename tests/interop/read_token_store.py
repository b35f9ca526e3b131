"""Runs the Python block of docs/token_store.md on a store and prints what it read as JSON.

read_token_store.py DOCS STORE. Called by tests/data/store/token_store_test.cpp.
"""
import json
import re
import sys

docs, store = sys.argv[1:]
with open(docs, encoding="utf-8") as page:
    (block,) = re.findall(r"^```python\n(.*?)^```$", page.read(), re.DOTALL | re.MULTILINE)
names = {"path": store}
exec(block, names)
documents = [[int(i) for i in names["document"](d)] for d in range(len(names["offsets"]) - 1)]
print(json.dumps({"documents": documents, "config": names["config"]}))
