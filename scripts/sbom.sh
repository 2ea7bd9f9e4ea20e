#!/usr/bin/env bash
# Writes what is built into the program, as a CycloneDX 1.5 document, to standard output: `scripts/sbom.sh > sbom.json`.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo metadata --locked --format-version 1 --features tollbook/kafka --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" |
  python3 -c '
import json, sys
meta = json.load(sys.stdin)
packages = {p["id"]: p for p in meta["packages"]}
nodes = {n["id"]: n for n in meta["resolve"]["nodes"]}
root = next(p["id"] for p in meta["packages"] if p["name"] == "tollbook" and p["source"] is None)
def built_in(node):
    return [d["pkg"] for d in node["deps"] if any(k["kind"] is None for k in d["dep_kinds"])]
seen, todo = set(), [root]
while todo:
    at = todo.pop()
    if at not in seen:
        seen.add(at)
        todo += built_in(nodes[at])
def ref(id):
    p = packages[id]
    return "pkg:cargo/%s@%s" % (p["name"], p["version"])
def component(id):
    p = packages[id]
    made = {"type": "library", "bom-ref": ref(id), "name": p["name"], "version": p["version"], "purl": ref(id)}
    if p.get("license"):
        made["licenses"] = [{"expression": p["license"].replace("/", " OR ")}]
    return made
json.dump({
    "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
    "metadata": {"component": dict(component(root), type="application")},
    "components": [component(id) for id in sorted(seen - {root}, key=ref)],
    "dependencies": [{"ref": ref(id), "dependsOn": sorted({ref(d) for d in built_in(nodes[id])})} for id in sorted(seen, key=ref)],
}, sys.stdout, indent=1)
print()
'
