"""One answer beside the other. A verdict is (word, why): "equal", "refused" with its reason, "slow" where PostgreSQL itself gave up, "alike" where floats differ
in their last digits, and "WRONG"."""
import re
import struct
from collections import Counter

from wire import cells

TOO_SLOW = "57014"
REFUSALS = ("RT", "0A", "53", "54", "42501")
IN_A_MOVE = ("40001", "55P03")


def raw_cells(body):
    count, at, found = struct.unpack("!h", body[:2])[0], 2, []
    for _ in range(count):
        length, at = struct.unpack("!i", body[at:at + 4])[0], at + 4
        found.append(None if length < 0 else body[at:at + length])
        at += max(length, 0)
    return found


def shown(body):
    try:
        return str(cells(body))
    except UnicodeDecodeError:
        return str(raw_cells(body))


def reason(error):
    """A refusal without what is of one statement only."""
    return re.sub(r"\b\d+\b", "N", re.sub(r'"[^"]*"|\$\d+', '"…"', f"{error['C']} {error['M']}"))


def own_types(columns, rows, types):
    """Bodies with the element types of binary arrays by name: those of a server's own types have other oids."""
    places = [place for place, column in enumerate(columns or []) if column[3] == 1 and isinstance(column[1], str) and column[1].startswith("_")]
    if not places:
        return rows
    changed = []
    for body in rows:
        found = raw_cells(body)
        for place in places:
            if found[place] is not None:
                oid = struct.unpack("!I", found[place][8:12])[0]
                found[place] = found[place][:8] + str(types.get(oid, oid)).encode() + found[place][12:]
        changed.append(struct.pack("!h", len(found)) + b"".join(struct.pack("!i", -1) if one is None else struct.pack("!i", len(one)) + one for one in found))
    return changed


def close_to(one, other, column):
    if one == other:
        return True
    if one is None or other is None or column[1] not in (700, 701):
        return False
    read = (lambda raw: struct.unpack("!d" if len(raw) == 8 else "!f", raw)[0]) if column[3] else float
    a, b = read(one), read(other)
    return abs(a - b) <= 1e-12 * max(abs(a), abs(b))


def floats_close(columns, direct, proxied):
    if not columns or len(direct) != len(proxied) or not any(column[1] in (700, 701) for column in columns):
        return False
    return all(all(map(close_to, raw_cells(one), raw_cells(other), columns)) for one, other in zip(sorted(direct), sorted(proxied)))


def different_rows(order, direct, proxied):
    """What is wrong with the rows, or None."""
    if order == "total":
        at = next((at for at, (one, other) in enumerate(zip(direct, proxied)) if one != other), None)
        if at is not None:
            return f"row {at + 1} differs: {shown(direct[at])} | {shown(proxied[at])}"
    elif Counter(direct) != Counter(proxied):
        missing, extra = Counter(direct) - Counter(proxied), Counter(proxied) - Counter(direct)
        return f"missing {[shown(body) for body in list(missing)[:3]]}, too many {[shown(body) for body in list(extra)[:3]]}"
    elif order != "open":
        keys = [[[raw_cells(body)[position - 1] for position in order] for body in rows] for rows in (direct, proxied)]
        if keys[0] != keys[1]:
            at = next(at for at, (one, other) in enumerate(zip(*keys)) if one != other)
            return f"the order differs at row {at + 1}: {keys[0][at]} | {keys[1][at]}"
    if len(direct) != len(proxied):
        return f"{len(direct)} rows | {len(proxied)} rows"
    return None


def compare_results(direct, proxied, order, types):
    if direct.columns != proxied.columns:
        return "WRONG", f"columns {direct.columns} | {proxied.columns}"
    rows = own_types(direct.columns, direct.rows, types[0]), own_types(proxied.columns, proxied.rows, types[1])
    why = different_rows(order, *rows)
    if why:
        return ("alike", why) if floats_close(direct.columns, *rows) else ("WRONG", why)
    return ("equal", "") if direct.tag == proxied.tag else ("WRONG", f"command tag {direct.tag} | {proxied.tag}")


def compare_errors(direct, proxied, moving):
    if direct.error and direct.error["C"] == TOO_SLOW:
        return "slow", ""
    if proxied.refused() and proxied.error["C"].startswith(REFUSALS + (IN_A_MOVE if moving else ())) and not (direct.error and direct.error["C"] == proxied.error["C"]):
        return "refused", reason(proxied.error)
    codes = [answer.error and answer.error["C"] for answer in (direct, proxied)]
    return ("equal", "") if codes[0] == codes[1] and direct.state == proxied.state else ("WRONG", f"errors {direct.error} | {proxied.error}")


def joined_parts(answer, mode):
    """Rows fetched in parts come as one result, in the order of the parts."""
    if mode not in ("portal", "declare"):
        return answer.results
    parts = [part for part in answer.results if part.columns or part.rows or mode == "portal"]
    if not parts:
        return answer.results
    parts[0].rows = [body for part in parts for body in part.rows]
    parts[0].tag = [len(part.rows) for part in parts[1:]]
    return parts[:1]


def refused_before(direct, proxied):
    """The first refusal of a statement that came before, as kinds say it."""
    words = [word for one, other in zip(direct.before, proxied.before) if one != other for word in other.split() if word[0] == "E" and word[1:].startswith(REFUSALS)]
    return words and f"{words[0][1:]} before the statement"


def compare(statement, direct, proxied, types, moving=False):
    if direct.before != proxied.before:
        why = refused_before(direct, proxied)
        return ("refused", why) if why else ("WRONG", f"before it {direct.before} | {proxied.before}")
    if direct.error or proxied.error:
        return compare_errors(direct, proxied, moving)
    if direct.state != proxied.state:
        return "WRONG", f"transaction {direct.state} | {proxied.state}"
    if direct.parameters != proxied.parameters:
        return "WRONG", f"parameter types {direct.parameters} | {proxied.parameters}"
    results = [joined_parts(answer, statement.mode) for answer in (direct, proxied)]
    if len(results[0]) != len(results[1]):
        return "WRONG", f"{len(results[0])} results | {len(results[1])} results"
    verdicts = [compare_results(one, other, statement.order[min(at, len(statement.order) - 1)], types) for at, (one, other) in enumerate(zip(*results))]
    return max(verdicts, key=lambda verdict: ("equal", "alike", "WRONG").index(verdict[0]), default=("equal", ""))
