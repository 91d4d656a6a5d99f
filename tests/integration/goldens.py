"""Full messages compared with files in golden/, with what differs from run to run replaced: ports, pids, folders. A test that runs with
PGROTOR_WRITE_GOLDEN=1 writes the files anew; read the diff before committing it."""
import os
import re

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")


def plain(text, fleet=None, **names):
    """`names`: name=value pairs replaced by <name>, longest value first."""
    if fleet:
        names.update({f"port of {name}": str(shard.port) for name, shard in fleet.shards.items()})
        names["port of pgrotor"], names["config"] = str(fleet.pgrotor.port), fleet.pgrotor.config
    for name, value in sorted(names.items(), key=lambda pair: -len(str(pair[1]))):
        text = re.sub(rf"(?<![0-9]){re.escape(str(value))}(?![0-9])", f"<{name}>", text)
    return text.rstrip() + "\n"


def compare(name, text):
    """Fails with both texts where they differ."""
    path = os.path.join(FOLDER, name + ".txt")
    if os.environ.get("PGROTOR_WRITE_GOLDEN"):
        with open(path, "w") as file:
            file.write(text)
        return
    with open(path) as file:
        expected = file.read()
    assert text == expected, f"{name} differs from golden/{name}.txt\n--- expected\n{expected}--- seen\n{text}"


def error_text(error):
    """A psycopg2 error as psql shows it: message, detail and hint with the SQLSTATE in front."""
    notice, lines = error.diag, []
    lines.append(f"{notice.sqlstate}: {notice.message_primary}")
    if notice.message_detail:
        lines.append(f"DETAIL: {notice.message_detail}")
    if notice.message_hint:
        lines.append(f"HINT: {notice.message_hint}")
    return "\n".join(lines) + "\n"
