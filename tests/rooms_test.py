#!/usr/bin/env python3
"""The map of the house is the map of the code: which room may know which, no circle, and no class that is two things.

Rooms are the folders inside routing/, migration/ and proxy/, listed below from the lowest to the highest: an include may run down or
stay inside a room, never up. No two files include each other, also not over others; a private header (x_impl.h, x_internal.h) counts
as part of x. A class has at most 25 data members and lies in at most three .cc files; those that have more are in a table in
tests/README.md with the reason, and must still need it.

    rooms_test.py SOURCE_ROOT
"""
import os
import re
import sys

ROOMS = {
    "protocol": [],
    "routing": ["map", "text", "analysis", "route"],
    "migration": ["base", "pg", "plan", "catalog", "shard", "mover", "engine", "strategy", "coordinator"],
    "proxy": ["config", "net", "counters", "state", "gate", "shard", "transaction", "auth", "session", "worker", "metrics", "console", "serve"],
}
ROOMLESS = {"proxy/main.cc"}
STOREYS = list(ROOMS)
MOST_MEMBERS, MOST_FILES = 25, 3
INCLUDE = re.compile(r'^\s*#\s*include\s*"((?:%s)/[^"]+)"' % "|".join(STOREYS), re.M)


def sources(root):
    found = {}
    for storey in STOREYS:
        for folder, _, names in os.walk(os.path.join(root, storey)):
            for name in names:
                if name.endswith((".h", ".cc")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as file:
                        found[os.path.relpath(path, root)] = file.read()
    return found


def height(path):
    """(storey, room), to be compared; None: the file lies in no room."""
    storey, *folders, _ = path.split("/")
    rooms = ROOMS[storey]
    if not rooms or path in ROOMLESS:
        return (STOREYS.index(storey), len(rooms))
    return (STOREYS.index(storey), rooms.index(folders[0])) if len(folders) == 1 and folders[0] in rooms else None


def upward(files):
    for path, text in sorted(files.items()):
        here = height(path)
        if here is None:
            yield f"{path}: lies in no room; the rooms of its folder are {', '.join(ROOMS[path.split('/')[0]])}"
            continue
        for other in INCLUDE.findall(text):
            if other not in files:
                yield f"{path}: includes {other}, which is not there"
            elif height(other) is not None and height(other) > here:
                yield f"{path}: includes {other}, which lies higher"


def unit(path):
    return re.sub(r"(_impl|_internal)?\.(h|cc)$", "", path)


def circles(files):
    arrows = {}
    for path, text in files.items():
        arrows.setdefault(unit(path), set()).update(unit(other) for other in INCLUDE.findall(text) if unit(other) != unit(path))
    number, low, stack, found = {}, {}, [], []

    def visit(one):  # Tarjan's strongly connected components
        number[one] = low[one] = len(number)
        stack.append(one)
        for other in sorted(arrows.get(one, ())):
            if other not in number:
                visit(other)
            if other in stack:
                low[one] = min(low[one], low[other])
        if low[one] == number[one]:
            component = stack[stack.index(one):]
            del stack[stack.index(one):]
            if len(component) > 1:
                found.append("a circle of includes: " + ", ".join(sorted(component)))

    for one in sorted(arrows):
        if one not in number:
            visit(one)
    return found


def without_comments(text):
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', "", text, flags=re.S)


CLASS = re.compile(r"\b(?:class|struct)\s+([A-Za-z_]\w*(?:::\w+)*)(?:\s+final)?(?:\s*:\s*[^;{}()]*)?\s*\{")


def body_of(text, brace):
    depth = 0
    for at in range(brace, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[brace + 1:at]
    return text[brace + 1:]


def data_members(body):
    """How many variables are declared at the top of a class's body."""
    flat, depth = [], 0
    for letter in body:
        if letter == "{":
            depth += 1
            if depth == 1:
                flat.append("{}")
        elif letter == "}":
            depth -= 1
        elif depth == 0:
            flat.append(letter)
    count = 0
    flat = re.sub(r"\b(?:public|private|protected)\s*:", "", "".join(flat))
    # A body of a function or a nested class ends its declaration as well; a member's braces are followed by `,` or `;`.
    for statement in re.sub(r"\{\}(?!\s*[,;])", "{};", flat).split(";"):
        statement = statement.strip()
        if re.match(r"(using|friend|typedef|enum|class|struct|template|static|constexpr|inline|virtual|explicit|operator|\[\[|~|$|\{)", statement):
            continue
        while re.search(r"<[^<>]*>", statement):
            statement = re.sub(r"<[^<>]*>", "", statement)
        head = statement.split("=")[0].split("{")[0]
        if "(" in head or len(head.split()) < 2:
            continue
        names = re.sub(r"\{\}|=[^,]*", "", statement)
        count += 1 + names.count(",")
    return count


def classes(files):
    """Name to (data members, .cc files, where it is)."""
    found = {}
    for path, text in files.items():
        text = without_comments(text)
        for match in CLASS.finditer(text):
            found[match.group(1)] = [data_members(body_of(text, match.end() - 1)), set(), path]
    for path, text in files.items():
        if path.endswith(".cc"):
            for name in set(re.findall(r"^[^\s#/}].*?\b(\w+)::~?\w+\(", without_comments(text), re.M)):
                if name in found and re.search(rf"^[^\s#/}}][^=;]*\b{name}::~?\w+\([^;]*\{{", without_comments(text), re.M):
                    found[name][1].add(path)
    return {name: (members, len(where), path) for name, (members, where, path) in found.items()}


def exceptions(readme):
    """`| session | 75 | 21 | reason |`: name to what it may have."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| \S.*\|$", readme, re.M)
    return {name: (int(members), int(files)) for name, members, files in rows}


def too_large(files, allowed):
    seen = classes(files)
    for name, (members, count, path) in sorted(seen.items()):
        most_members, most_files = allowed.get(name, (MOST_MEMBERS, MOST_FILES))
        if members > most_members or count > most_files:
            yield f"{path}: {name} has {members} data members in {count} .cc files; {most_members} and {most_files} are allowed"
        elif name in allowed and (members <= MOST_MEMBERS and count <= MOST_FILES or (members, count) != allowed[name]):
            yield f"tests/README.md: {name} has {members} data members in {count} .cc files; its line says {allowed[name]}"
    for name in sorted(set(allowed) - set(seen)):
        yield f"tests/README.md: there is no class {name}"


def offences(files, readme):
    return [*upward(files), *circles(files), *too_large(files, exceptions(readme))]


def planted():
    """The rules find what they are for."""
    members = "".join(f"  int m{i}_ = 0;\n" for i in range(26))
    for why, files in {
        "up inside a folder": {"proxy/net/a.h": '#include "proxy/session/b.h"', "proxy/session/b.h": ""},
        "up between folders": {"routing/map/a.h": '#include "migration/base/b.h"', "migration/base/b.h": ""},
        "no room": {"proxy/a.h": ""},
        "a circle": {"proxy/net/a.cc": '#include "proxy/net/b.h"', "proxy/net/b.cc": '#include "proxy/net/a.h"', "proxy/net/a.h": "", "proxy/net/b.h": ""},
        "members": {"proxy/net/a.h": "class big {\n public:\n  void f() { int x = 1; }\n private:\n" + members + "};\n"},
        "files": {"proxy/net/a.h": "class wide {};", **{f"proxy/net/a{i}.cc": "void wide::f() {\n}\n" for i in range(4)}},
    }.items():
        if not offences(files, ""):
            sys.exit(f"the rules miss: {why}")
    fine = {"proxy/net/a.h": "class fine {\n  std::map<int, int> x_, y_;\n  void f(int a, int b);\n};", "proxy/session/b.cc": '#include "proxy/net/a.h"'}
    if offences(fine, "") or classes(fine)["fine"][0] != 2:
        sys.exit(f"the rules object to what is fine: {offences(fine, '')}, {classes(fine)}")


def main():
    planted()
    files = sources(sys.argv[1])
    with open(os.path.join(sys.argv[1], "tests/README.md"), encoding="utf-8") as file:
        found = offences(files, file.read())
    print("\n".join(found) or f"{len(files)} files, each in its room")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
