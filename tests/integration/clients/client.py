"""Runs one client against pgrotor with three shards: client.py NAME, see CLIENTS. Fails when the client does, and when rows of a sharded
table are not on their owner afterwards. What has to be compiled or downloaded is kept in the build folder, under clients/."""
import os
import shutil
import subprocess
import sys

from stage import HERE, Scene, Stage

sys.path.insert(0, os.path.join(HERE, ".."))
from cluster import BIN, DUMP_BIN  # noqa: E402

BUILD = os.environ.get("PGROTOR_BUILD") or os.path.join(HERE, "..", "..", "..", "build", "test")
KEPT = os.path.join(BUILD, "clients")
JDBC = "/usr/share/java/postgresql.jar"


def prepared(name, command, **options):
    """A step before the client that needs no pgrotor: compiling, installing. Tried again once, since networks fail."""
    os.makedirs(KEPT, exist_ok=True)
    for attempt in (1, 2):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
        if done.returncode == 0:
            return
        print(f"{name}, attempt {attempt}: {done.stdout}")
    sys.exit(f"{name} failed")


def python(name):
    return lambda stage, *arguments, **options: stage.run(["/usr/bin/python3", os.path.join(HERE, f"with_{name}.py"), *arguments], **options)


def node(stage):
    """The modules by their lock file, in the build folder."""
    folder = os.path.join(KEPT, "node")
    lock = os.path.join(folder, "package-lock.json")
    with open(os.path.join(HERE, "node", "package-lock.json")) as wanted:
        if not os.path.exists(lock) or open(lock).read() != wanted.read() or not os.path.isdir(os.path.join(folder, "node_modules", "pg")):
            os.makedirs(folder, exist_ok=True)
            for file in ("package.json", "package-lock.json"):
                shutil.copy(os.path.join(HERE, "node", file), folder)
            prepared("npm ci", ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)
    stage.run(["node", os.path.join(HERE, "with_node.js")], env={"NODE_PATH": os.path.join(folder, "node_modules")})


def go(name):
    def run(stage):
        cache = {"GOMODCACHE": os.path.join(KEPT, "go", "modules"), "GOCACHE": os.path.join(KEPT, "go", "cache"), "GOTOOLCHAIN": "local",
                 "GOFLAGS": "-mod=readonly -modcacherw"}
        program = os.path.join(os.path.abspath(KEPT), f"go-{name}")
        prepared(f"go build {name}", ["go", "build", "-o", program, f"./{name}"], cwd=os.path.join(HERE, "go"), env=dict(os.environ, **cache))
        stage.run([program])
    return run


def jdbc(stage, *arguments):
    classes = os.path.join(KEPT, "jdbc")
    prepared("javac", ["javac", "-encoding", "UTF-8", "-cp", JDBC, "-d", classes, os.path.join(HERE, "jdbc", "Client.java")])
    stage.run(["java", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp", f"{classes}:{JDBC}", "Client", *arguments])


def libpqxx(stage):
    stage.run([os.path.join(BUILD, "tests", "integration", "client_libpqxx")])


def psql(stage):
    printed = stage.run([BIN + "psql", "-X", "-f", os.path.join(HERE, "psql.sql")])
    for wanted in ("made 1", "1,copied by psql", "2,a \\ backslash", "a third"):
        assert wanted in printed, f"psql did not print {wanted!r}"


def pg_dump(stage):
    """A dump of the default shard's part and its restore, both through pgrotor."""
    stage.run([BIN + "psql", "-X", "-c", "INSERT INTO notes (id, body) SELECT n, 'dumped ' || n FROM generate_series(1, 500) n"])
    dump = os.path.join(stage.scene.folder, "notes.dump")
    stage.run([DUMP_BIN + "pg_dump", "-Fc", "-f", dump, "-t", "notes"])
    before = stage.rows("s2", "SELECT count(*), sum(id) FROM notes")
    stage.run([BIN + "psql", "-X", "-c", "TRUNCATE notes"])
    stage.run([DUMP_BIN + "pg_restore", "--data-only", "-d", "s2", dump])
    assert stage.rows("s2", "SELECT count(*), sum(id) FROM notes") == before and before[0][0] == 500, before
    assert stage.rows("s1", "SELECT count(*) FROM notes") == [(0,)]


ALL = ("accounts", "entries", "tokens", "words")
CLIENTS = {
    "psql": (psql, ()), "pg_dump": (pg_dump, ()), "node": (node, ALL), "libpq_go": (go("libpq"), ALL), "pgx": (go("pgx"), ALL), "jdbc": (jdbc, ALL),
    "libpqxx": (libpqxx, ALL), **{name: (python(name), ALL) for name in ("psycopg2", "psycopg3", "asyncpg", "sqlalchemy")},
    # Django sets the time zone of a session unless it is UTC already.
    "django": (lambda stage: python("django")(stage, env={"PGTZ": "UTC"}), ALL[:1] + ALL[2:]),
    # And with what needs the state of a session.
    "asyncpg_session": (lambda stage: python("asyncpg")(stage, "session"), ALL), "jdbc_session": (lambda stage: jdbc(stage, "session"), ALL),
    "django_session": (lambda stage: python("django")(stage, "session"), ALL[:1] + ALL[2:]),
}


def main(name):
    run, tables = CLIENTS[name]
    with Scene(name) as scene:
        stage = Stage(scene)
        run(stage)
        stage.check(*tables)


if __name__ == "__main__":
    main(sys.argv[1])
