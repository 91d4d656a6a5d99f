#!/usr/bin/python3
"""Unit tests that can fail: each row leaves one rule out of a source file, and its test must turn red. The tree is not touched.

    tests/unit/mutations.py [words that a row's name has ...]

Takes some ten seconds a row; needs ./tests/run's build (build/test), or the build folder named by PGROTOR_BUILD.
"""
import os
import shlex
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("PGROTOR_BUILD", os.path.join(SOURCE, "build", "test")))

# name: (file, test file beside it in tests/unit/migration, what stands there, what stands there instead)
CUTOVER = ("migration/strategy/cutover.cc", "cutover_test.cc")
APPLIER = ("migration/mover/applier.cc", "applier_test.cc")
RUN = ("migration/coordinator/migration_run.cc", "migration_run_test.cc")
ROWS = {
    "cutover: goes on past a fence that was refused": (*CUTOVER, 'if (why) co_return "step 2: " + *why;', ""),
    "cutover: goes on past a marker that did not come": (*CUTOVER, "if (!reached)", "if (false)"),
    "cutover: the commit point before the sequences": (
        *CUTOVER, "  co_await steps.settle_sequences();\n  co_await steps.commit_switch();\n", "  co_await steps.commit_switch();\n  co_await steps.settle_sequences();\n"),
    "cutover: an unknown outcome taken for a failure": (*CUTOVER, "catch (const catalog_lost&) {\n    throw;", 'catch (const catalog_lost&) {\n    why = "";'),
    "cutover: a term that is over undoes": (*CUTOVER, "catch (const superseded&) {\n    throw;", 'catch (const superseded&) {\n    why = "";'),
    "cutover: an error without words taken for success": (*CUTOVER, "    why = error.what();", "    if (*error.what() != 0) why = error.what();"),
    "cutover: gates open before the source does": (
        *CUTOVER, "  co_await steps.reopen_source();\n  co_await steps.reopen_gates();\n", "  co_await steps.reopen_gates();\n  co_await steps.reopen_source();\n"),
    "cutover: gates open before the target does": (
        *CUTOVER, "  co_await steps.open_target();\n  co_await steps.open_gates();\n", "  co_await steps.open_gates();\n  co_await steps.open_target();\n"),
    "cutover: the old marker still counts": (*CUTOVER, "    steps.forget_marker();\n", ""),
    "cutover: the fence's transaction stays open": (*CUTOVER, "    co_await steps.abandon_fence();\n", ""),
    "cutover: the budget begins anew at each step": (*CUTOVER, "co_await steps.wait_marker(until)", "co_await steps.wait_marker(steps.now() + milliseconds(400))"),
    "applier: confirms what is not committed": (*APPLIER, "task<void> applier::finish_batch() {\n", "task<void> applier::finish_batch() {\n  confirm();\n"),
    "applier: confirms past what is held": (*APPLIER, "std::min(ended_->commit, decisions.floor()) : decisions.floor()",
                                            "std::min(ended_->commit, decisions.floor()) : decisions.position()"),
    "applier: confirms the marker away": (*APPLIER, "std::min(ended_->commit, decisions.floor())", "decisions.floor()"),
    "applier: goes on behind the marker": (*APPLIER, "while (stream_.ready() && !ended_ &&", "while (stream_.ready() &&"),
    "applier: commits in the middle of a transaction": (*APPLIER, "    if (inside_transaction_) {\n      if (full)", "    if (inside_transaction_ && !full) {\n      if (full)"),
    "applier: a marker outside of any transaction counts": (*APPLIER, "if (!message.transactional) return;", ""),
    "applier: a chunk is loaded before the stream has caught up with an earlier mover": (*APPLIER, "|| !context_.decisions->may_load()", ""),
    "applier: a chunk of a table with another unique index does not wait": (*APPLIER, "!context_.tables[chunk.slice.table].other_unique ||", "true ||"),
    "applier: a keepalive in the middle of a transaction moves the position": (*APPLIER, "if (!inside_transaction_) context_.decisions->advance", "context_.decisions->advance"),
    "applier: a chunk that was not loaded counts as loaded": (*APPLIER, "  if (!loaded) {\n    decisions", "  if (false) {\n    decisions"),
    "migration_run: a lost catalog is a failure of the migration": (
        *RUN, 'if (error.where == "catalog" && error.connection_lost) throw catalog_lost(error.what());', ""),
    "migration_run: a lost shard is fatal": (*RUN, "!error.connection_lost}", "true}"),
    "migration_run: fails with the gates closed": (*RUN, "if (before_switch(row_.state) && !at_gate(row_.state)) {\n    if (cancel_)",
                                                   "if (before_switch(row_.state)) {\n    if (cancel_)"),
    "migration_run: fails after the switch": (*RUN, "if (before_switch(row_.state) && !at_gate(row_.state)) {\n    if (cancel_)",
                                              "if (!at_gate(row_.state)) {\n    if (cancel_)"),
    "migration_run: others go first while the gates are closed": (*RUN, "if (!at_gate(row_.state)) co_return stop_;", "co_return stop_;"),
    "migration_run: begins an attempt that is being cancelled": (*RUN, "if (cancel_) co_await go(state::ready", "if (false) co_await go(state::ready"),
    "migration_run: cancels while the gates are closed": (
        *RUN, "if (!before_switch(row_.state) || row_.state == state::cutting_over) refuse_cancel(row_);", "if (!before_switch(row_.state)) refuse_cancel(row_);"),
    "migration_run: does not remember where to go on": (*RUN, "if (to == state::paused) row_.resume_to = row_.state;", ""),
    "migration_run: works without a catalog": (*RUN, 'if (rows_.lost()) throw catalog_lost("the connection is lost");', ""),
    "migration_run: leaves its mover behind": (*RUN, "  co_await strategy_->stop_work();  // also when", "  // also when"),
    "migration_run: works while a DBA is waited for": (*RUN, "!stop_ && !waits_for_dba(row_) &&", "!stop_ &&"),
}


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def commands():
    """What ninja would run: the compiler's line for a test of this folder, and the linker's."""
    lines = run(["ninja", "-C", BUILD, "-t", "commands", "migration_test"], check=True).stdout.splitlines()
    compiler = shlex.split(next(line for line in lines if line.endswith("/main.cc")))
    linker = next(line for line in lines if " -o tests/unit/migration/migration_test " in line).split("&&")[1].split()
    keep = [word for word in compiler if word.startswith(("-D", "-I", "-std", "/usr/bin/c++", "-isystem"))]
    at = compiler.index("-isystem")
    libraries = linker[linker.index("tests/unit/migration/migration_test") + 1:]
    return [word for word in keep if word != "-isystem"] + compiler[at:at + 2] + ["-O0"], libraries


def source(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


def passes(text, test, folder, compiler, libraries):
    """Whether the test passes with this text of the file; a string says why it was not made."""
    broken, program = os.path.join(folder, "broken.cc"), os.path.join(folder, "test")
    with open(broken, "w", encoding="utf-8") as file:
        file.write(text)
    tests = [os.path.join(SOURCE, "tests", "unit", "migration", name) for name in ("main.cc", test)]
    # What is linked first wins over the library's own.
    made = run([*compiler, broken, *tests, "-o", program, "-Wl,--allow-multiple-definition", *libraries], cwd=BUILD)
    if made.returncode != 0:
        return made.stderr[-2000:]
    try:
        return run([program], timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main():
    made = commands()
    wrong, whole = 0, set()
    for name, (path, test, there, instead) in ROWS.items():
        if not all(word in name for word in sys.argv[1:]):
            continue
        text = source(path)
        with tempfile.TemporaryDirectory() as folder:
            if text.count(there) != 1:
                found = f"{there!r} stands {text.count(there)} times in {path}"
            elif (path, test) not in whole and passes(text, test, folder, *made) is not True:
                found = f"{test} is red with the rule in force"
            else:
                whole.add((path, test))
                found = {True: "all tests pass", False: "red"}.get(answer := passes(text.replace(there, instead), test, folder, *made), answer)
        print(f"{name}: {found}", flush=True)
        wrong += found != "red"
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
