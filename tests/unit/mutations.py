#!/usr/bin/python3
"""Unit tests that can fail: each row leaves one rule out of a source file, and its test must turn red. The tree is not touched.

    tests/unit/mutations.py [words that a row's name has ...]
    tests/unit/mutations.py --look                                only whether each rule still stands where its row says: a test of ./tests/run

Takes some ten seconds a row, and some minutes once for the rows of the session; needs ./tests/run's build (build/test), or the build folder named by PGROTOR_BUILD.
"""
import concurrent.futures
import functools
import glob
import os
import shlex
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("PGROTOR_BUILD", os.path.join(SOURCE, "build", "test")))

# name: (file, its test in tests/unit, what stands there, what stands there instead)
CUTOVER = ("migration/strategy/cutover.cc", "migration/cutover_test.cc")
APPLIER = ("migration/mover/applier.cc", "migration/applier_test.cc")
RUN = ("migration/coordinator/migration_run.cc", "migration/migration_run_test.cc")
ENDS = ("proxy/transaction/two_phase.cc", "proxy/two_phase_walk_test.cc")
LOG = ("proxy/transaction/transaction_log.cc", "proxy/transaction_log_test.cc")
POOL = ("proxy/shard/pool.cc", "proxy/pool_test.cc")
TALK = ("proxy/shard/conversation.cc", "proxy/conversation_test.cc")
SESSION = "proxy/session_{}_test.cc".format
BESIDE = {"proxy/pool_test.cc": ["proxy/shard/permit_desk.cc"]}  # in the library the rule is built into it
SAME_ROOM = "proxy/session/"  # rules of these files are built into each other, and tests of theirs share scripted_*.cc
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
    "two_phase: decides before it prepares": (
        *ENDS, "begin(has_id ? state::prepare : state::fix_xid);", "begin(has_id ? state::decide : state::fix_xid);"),
    "two_phase: COMMIT PREPARED before the decision": (*ENDS, "  begin(state::decide);", "  begin(state::finish);"),
    "two_phase: ROLLBACK PREPARED behind the decision": (*ENDS, "return begin(alone ? state::committed : state::finish);",
                                                         "return begin(alone ? state::committed : state::undo);"),
    "two_phase: locks are let go first": (*ENDS, "only_locks(i) == (next == state::finish_locks)", "only_locks(i) != (next == state::finish_locks)"),
    "two_phase: locks are let go while their work is prepared": (*ENDS, "begin(all && !locks ? state::finish_locks", "begin(!locks ? state::finish_locks"),
    "two_phase: what holds locks is no participant": (*ENDS, "if (writers + lockers == 1)", "if (writers == 1)"),
    "two_phase: the decider has no transaction id": (*ENDS, "begin(has_id ? state::prepare : state::fix_xid);", "begin(state::prepare);"),
    "two_phase: what cannot be prepared does not decide": (*ENDS, "if (writers++ == 0 || p.must_decide || ", "if (writers++ == 0 || "),
    "two_phase: a lost answer to PREPARE is forgotten": (
        *ENDS, "else if (replies[i].is == reply::what::lost && !replies[i].unsent) states_[i] = branch_state::maybe_prepared;", ""),
    "two_phase: what cannot be finished is forgotten": (
        *ENDS, "    else all = false;\n", "    else all = false, states_[i] = branch_state::ended;\n"),
    "two_phase: a lost decision is an abort": (*ENDS, "begin(alone ? state::unknown : state::doubt);", "begin(alone ? state::unknown : state::undo);"),
    "two_phase: a lost COMMIT is an abort": (*ENDS, "begin(alone ? state::unknown : state::doubt);", "begin(alone ? state::aborted : state::doubt);"),
    "two_phase: a verdict of abort is proof": (*ENDS, "bool proven = !told_;", "bool proven = true;"),
    "two_phase: somebody else's ROLLBACK PREPARED is proof": (
        *ENDS, "if (replies[i].is == reply::what::done) proven = true;", "if (replies[i].is == reply::what::done || is_gone(replies[i])) proven = true;"),
    "two_phase: who has failed is not rolled back": (
        *ENDS, "const bool failed = replies[i].is == reply::what::error && replies[i].over;", "const bool failed = replies[i].is == reply::what::error;"),
    "two_phase: who is gone is rolled back": (*ENDS, "if ((replies[i].is == reply::what::lost || failed)", "if (failed"),
    "two_phase: readers may fail": (*ENDS, "  if (failed) return fail(replies, *failed);\n  begin(writer_left", "  begin(writer_left"),
    "transaction_log: what is gone back behind stays": (*LOG, "while (texts_.size() > known->said_until) drop_last();", ""),
    "transaction_log: savepoints that were gone back behind stay": (*LOG, "  savepoints_.erase(std::next(known), savepoints_.end());\n", ""),
    "transaction_log: a release leaves later savepoints": (
        *LOG, "savepoints_.erase(known, savepoints_.end());", "savepoints_.erase(known);"),
    "transaction_log: a release is forgotten that others must hear": (
        *LOG, "const bool nothing_since = alone && known->said_until == texts_.size();", "const bool nothing_since = known->said_until == texts_.size();"),
    "transaction_log: what is said in between is forgotten": (
        *LOG, "const bool nothing_since = alone && known->said_until == texts_.size();", "const bool nothing_since = alone;"),
    "transaction_log: the oldest of a name counts": (
        *LOG, "std::find_if(savepoints_.rbegin(), savepoints_.rend(), [name](const named_savepoint& s) { return s.name == name; });\n"
        "  return found == savepoints_.rend() ? savepoints_.end() : std::prev(found.base());",
        "std::find_if(savepoints_.begin(), savepoints_.end(), [name](const named_savepoint& s) { return s.name == name; });\n  return found;"),
    "transaction_log: grows for nobody": (*LOG, "  if (lost_) return;  // nobody will be told\n", ""),
    "transaction_log: what was taken back weighs on": (*LOG, "  bytes_ -= weight(texts_.back());\n", ""),
    "pool: who was refused at the shard is let in when he comes again": (*POOL, "  if (why) known_.let_in = {};\n", ""),
    "pool: a login is tried while the pool is paused": (*POOL, "< recheck || paused_ || shard_.down()", "< recheck || shard_.down()"),
    "pool: a login counts for ever": (*POOL, "now - known_.let_in < recheck ||", "known_.let_in != clock::time_point() ||"),
    "pool: somebody overtakes the queue": (*POOL, "return queue_.empty() && !paused_ &&", "return !paused_ &&"),
    "pool: the last in the queue is served first": (*POOL, "auto& first = queue_.front();\n  queue_.pop_front();", "auto& first = queue_.back();\n  queue_.pop_back();"),
    "pool: a login for each who waits, also where one is under way": (*POOL, "lacks.count = queue_.size() - opening();", "lacks.count = queue_.size();"),
    "pool: a refused login is tried again at once": (*POOL, " || clock::now() < open_again_", ""),
    "pool: who waits is not told of a refused login": (*POOL, "if (!lives()) fail_queue(result.failed);", ""),
    "pool: who waits is told of one while others work": (*POOL, "if (!lives()) fail_queue(result.failed);", "fail_queue(result.failed);"),
    "pool: an unreachable shard is nobody's news": (*POOL, "if (result.unreachable) keeper_.unreachable(result.failed);", ""),
    "pool: one that is too old serves on": (*POOL, "server->leaving || too_old(*server, server->idle_since)", "server->leaving"),
    "pool: one that was not reset serves on": (*POOL, "server->unusable || server->leaving || too_old", "server->leaving || too_old"),
    "pool: one from before RECONNECT serves on": (*POOL, "for (auto* one : servers_) one->leaving = true;", ""),
    "pool: old ones stay idle": (*POOL, "close_idle_if([&](const server_ptr& one) { return too_old(*one, now); });", ""),
    "pool: the least is not kept": (*POOL, "total() > limits_.least ? total() - limits_.least : 0", "total()"),
    "pool: paused, it gives out": (*POOL, "if (paused_ || desk_.must_give", "if (desk_.must_give"),
    "pool: others' clients wait behind its own": (*POOL, "paused_ || desk_.must_give(account_, *this, first)", "(static_cast<void>(first), paused_)"),
    "pool: one that ended is idle": (*POOL, "if (!keeper_.watch(*server)) return discard(std::move(server));", "keeper_.watch(*server);"),
    "pool: one that ended is given to who waits": (*POOL, "if (!keeper_.hold(*server)) return discard(std::move(server));", "keeper_.hold(*server);"),
    "pool: one that has spoken goes out": (*POOL, "keeper_.quiet(*server, now - server->idle_since < trusted_time)) {", "(keeper_.quiet(*server, false), true)) {"),
    "pool: a permit is not given back": (*POOL, "  server.reset();\n  desk_.closed(owner_);", "  server.reset();"),
    "pool: what is not fetched is lost": (*POOL, "if (given_) pool_->discard(std::move(given_));", ""),
    "pool: nothing is asked of one that was idle for long": (*POOL, "const bool check = due_for_check(*found.server, now)", "const bool check = false"),
    "pool: one that does not answer goes out": (*POOL, "if (good) co_return found;", "co_return found;"),
    "pool: one that starts otherwise comes back": (*POOL, "if (!good || server->leaving) co_return discard", "if (server->leaving) co_return discard"),
    "pool: settings do not choose": (*POOL, "if ((*usual)->applied == wanted) return usual;", "return usual;"),
    "pool: resumed, nobody is served": (*POOL, "if (resumed) desk_.wants_more(owner_);", ""),
    "pool: back again, nobody is served": (*POOL, "  open_again_ = {};\n  desk_.wants_more(owner_);", "  open_again_ = {};"),
    "pool: warm() waits although a login failed": (*POOL, " && counters_.servers_failed == failed", ""),
    "pool: nobody's time is up": (*POOL, "mine.since_ + limits_.wait;", "clock::time_point::max();"),
    "conversation: the end counts before what came with it": (*TALK, "if (ended && used == 0)", "if (ended)"),
    "conversation: the end does not count": (*TALK, "if (ended && used == 0)", "if (false)"),
    "conversation: goes on behind the last message": (*TALK, "  while (is_open()) {\n    const auto rest", "  while (true) {\n    const auto rest"),
    "conversation: what is missing is not asked for": (*TALK, "      need(header.size);\n", ""),
    "conversation: the words of a server are lost with it": (*TALK, "if (auto words = answers_.last_words())", "if (std::optional<protocol::notice> words)"),
    "converse: nobody's time is up": (*TALK, "if (!in_time)", "if (false)"),
    "converse: one that has ended ends them all": (*TALK, "open = open || talk->is_open();", "open = talk->is_open();"),
    "run_alone: more than the answer is fine": (*TALK, "ending::answered && !server.in.empty()", "ending::answered && false"),
    "run_alone: an open transaction is fine": (*TALK, "ready && ready->status == protocol::transaction_status::idle && !refused_", "ready && !refused_"),
    "session: a server that was lost during a commit has done nothing": (
        "proxy/session/session_end.cc", "proxy/session_test.cc", "if (it.may_commit) return fatal(", "if (false) return fatal("),
    "session: a server is given back in the middle of a transaction": (
        "proxy/session/session_relay.cc", "proxy/session_test.cc", "const bool over = here_.borrowed || status == transaction_status::idle;", "const bool over = true;"),
    "session: what BEGIN was to go in front of is run without it": (
        "proxy/session/session_relay.cc", "proxy/session_test.cc", "return on_put_in_failed();", "return;"),
    "session: a cancel hits the BEGIN in front": (
        "proxy/session/session.cc", "proxy/session_test.cc", "if (!b.server->answers.is_at_put_in()) ", ""),
    "session: settings that failed say that the statement did": (
        "proxy/session/session_replay.cc", "proxy/session_test.cc", "fatal(commits ? commit_unknown(std::move(*why)) : std::move(*why));", "fatal(std::move(*why));"),
    "session: an unknown statement costs what its transaction has made": (
        "proxy/session/session_relay.cc", "proxy/session_test.cc", "    here_.server->reprepare |=", "    here_.server->unusable |="),
    "session: behind ROLLBACK a statement runs where the transaction was": (
        "proxy/session/session_route.cc", SESSION("pipeline"), "undoes(plan.kind) || ends_transaction(plan.kind)) c.failed = false;", "false) c.failed = false;"),
    "session: a failed transaction that no server knows of stays so behind ROLLBACK": (
        "proxy/session/session_route.cc", SESSION("pipeline"), "held_.failed() ? undoes(plan.kind) && !c.ended :", "held_.failed() ? false :"),
    "session: BEGIN behind an error has begun": ("proxy/session/session_batch.cc", SESSION("pipeline"), "return controls && batch_needs_server();", "return false;"),
    "state_of_transaction: the role has no place among many names": (
        "proxy/state/state_of_transaction.cc", "proxy/state_of_transaction_test.cc", '"session_authorization"}) add_name(', '"session_authorization"}) remember_name('),
    "state_of_transaction: a setting without a name is left to others": (
        "proxy/state/state_of_transaction.cc", "proxy/state_of_transaction_test.cc", "nameless_ = state::libraries;", "nameless_ = 0;"),
    "session: a BEGIN that is bound is nobody's": ("proxy/session/session_batch.cc", SESSION("pipeline"), " || !is_executed(std::span(batch_).subspan(i))", ""),
    "session: what is behind DISCARD ALL is read with what it forgets": (
        "proxy/session/session_batch.cc", SESSION("pipeline"), "is_more_than_end(frames)) return void(scanned_ -= frames.size());", "is_more_than_end(frames)) continue;"),
    "session: settings stay behind": ("proxy/session/session_replay.cc", "proxy/session_test.cc", "void session::catch_up() {\n  adjust_along();", "void session::catch_up() {"),
    "session: a server is kept for nothing": ("proxy/session/session_replay.cc", "proxy/session_test.cc", "    w_.reset_and_give_back(std::move(server));\n", ""),
    "session: nobody waits for the server": (
        "proxy/session/session.cc", "proxy/session_test.cc", "  if (!client_output_pending()) here_.server->socket.watch_read();\n", ""),
    "session: a named statement is where it was prepared": (
        "proxy/session/session_write.cc", SESSION("pipeline"), "if (item.named ? server.statements.touch(statement.id) : server.statements.unnamed == statement.id) return;",
        "if (item.named || server.statements.unnamed == statement.id) return;"),
    "session: an error of a pipeline skips nothing": (
        "proxy/session/session_relay.cc", SESSION("pipeline"), "  if (pipeline_open_) skip_to_sync_ = true;\n  send_fence();", "  send_fence();"),
    "session: a Parse binds a transaction instead of its Bind": (
        "proxy/session/session_batch.cc", SESSION("pipeline"), "decided = batch_[i].type == 'B';", "decided = true;"),
    "session: a Parse is answered for another's statement": (
        "proxy/session/session_write.cc", SESSION("pipeline"), "  if (known) close_statement(item.statement->id);\n", "  if (known) return server.answers.emit(std::string(\"1\\0\\0\\0\\4\", 5), item.undo);\n"),
    "session: statements are shared under any search_path": (
        "proxy/session/session_batch.cc", SESSION("pipeline"), "item.named, statement_scope());", "item.named);"),
    "session: statements of temporary tables stay prepared": (
        "proxy/session/session_replay.cc", SESSION("pipeline"), "if (transaction.has_prepared_of_temp_objects()) here_.server->reprepare = true;", ""),
    "session: a pipeline waits for its Sync whatever it says": (
        "proxy/session/session_timeouts.cc", SESSION("pipeline"), "if (scanned_ > 0 && may_take() && may_cut()) run_gathered('H');", ""),
    "session: a long pipeline is gathered whole": ("proxy/session/session.cc", SESSION("pipeline"), "if (scanned_ < most_gathered || !may_cut()) continue;", "continue;"),
    "session: settings in front of a Parse are given up": (
        "proxy/session/session_timeouts.cc", SESSION("pipeline"), "(here_.asking == question::aside && here_.borrowed)", "here_.borrowed"),
    "session: what came behind an answer makes the server unusable": (
        "proxy/session/session_relay.cc", "proxy/session_test.cc", "  server.in.consume(rest.used);\n", ""),
    "session: a notification is told in a block": (
        "proxy/session/session_relay.cc", "proxy/session_test.cc", "  if (status == transaction_status::idle) tell_notifications();", "  tell_notifications();"),
    "session: a listener's BEGIN is held": ("proxy/session/session_relay.cc", "proxy/session_test.cc", "  answer_alone();\n  begin_where_it_listens();", "  answer_alone();"),
    "two_phase: what makes no sense is a no": (*ENDS, 'text != "f"', 'text == "t"'),
    "session: a query is read as if standard_conforming_strings were on": (
        "proxy/session/session_reading.cc", "proxy/session_test.cc", "  if (!state_.escapes) return sql;\n", "  if (!state_.escapes || !sql.empty()) return sql;\n"),
    "session: a prepared statement is read as if standard_conforming_strings were on": (
        "proxy/session/session_batch.cc", "proxy/session_test.cc", "statement->standard_sql()", "statement->sql"),
    "session: who could not be asked is asked no more": (
        "proxy/session/session_replay.cc", "proxy/session_test.cc", " || (here_.server->pinned & state::anything) != 0", ""),
    "session: a question that is not answered ends the session": (
        "proxy/session/session_timeouts.cc", "proxy/session_test.cc", "    return park_unheard(), true;\n", ""),
    "session: a late answer is taken for the next": (
        "proxy/session/session_route.cc", "proxy/session_test.cc", "    if (!here_.server->answers.idle()) co_return co_await hear_late_answer();\n", ""),
    "session: signals without asking who may": (
        "proxy/session/session_types.cc", SESSION("processes"), "  if (auto refused = refusal(asked->is, said)) co_return refused;\n", ""),
    "session: signals in a transaction that has failed": (
        "proxy/session/session_types.cc", SESSION("processes"), " && here_.status != protocol::transaction_status::failed;", ";"),
    "session: hears that it has signalled itself": ("proxy/session/session_types.cc", SESSION("processes"), "if (asked.number != pid_) {", "if (true) {"),
    "session: numbers in any statement of a text": (
        "proxy/session/session_query.cc", SESSION("processes"), "if (stands_alone(plan)) amend_answer(plan.statements.front());", "amend_answer(plan.statements.back());"),
    "session: what was gathered stays counted": ("proxy/session/session.cc", SESSION("copy"), "w_.gathered -= std::exchange(claimed_, 0);", "claimed_ = 0;"),
    "session: other shards keep what a lost one has undone": (
        "proxy/session/session_end.cc", SESSION("commit"), "  if (!borrowed) lose_branches();\n", ""),
    "session: a commit on two shards that was undone is told as one": (
        "proxy/session/session_commit.cc", SESSION("commit"), "if (end.result() == two_phase::outcome::committed) co_return std::nullopt;",
        "if (end.result() != two_phase::outcome::unknown) co_return std::nullopt;"),
    "session: nobody is warned of what is not carried out yet": ("proxy/session/session_commit.cc", SESSION("commit"), "    protocol::append_notice(out_, as_warning(late));\n", ""),
    "session: what is left prepared is nobody's": (
        "proxy/session/session_commit.cc", SESSION("commit"), "w_.shared.recovery->left_over(left.shard, left.gid);", "static_cast<void>(left);"),
    "session: a verdict that was lost is not asked for": (
        "proxy/session/session_commit.cc", SESSION("commit"), "if (!w_.shared.recovery) co_return two_phase::verdict::unknown;", "co_return two_phase::verdict::unknown;"),
    "session: what a commit has left undone is passed by": (
        "proxy/session/session_route.cc", SESSION("commit"), "  if (!recovery || !recovery->in_doubt(shard)) co_return std::nullopt;", "  co_return std::nullopt;"),
    "session: a commit on two shards is answered and not finished": (
        "proxy/session/session_commit.cc", SESSION("commit"), "  ended = leave_branches();\n", "  leave_branches();\n"),
    "session: the commit barrier is never left": ("proxy/session/session_commit.cc", SESSION("commit"), "  inside = {};\n", "  new commit_barrier::pass(std::move(inside));\n"),
    "session: a shard that does not obey takes the session with it": (
        "proxy/session/session_scatter.cc", SESSION("scatter"), "const bool disobeyed = expired_ == timed::obey;", "const bool disobeyed = false;"),
    "session: one of several shards is left in the transaction": (
        "proxy/session/session_scatter.cc", SESSION("scatter"), "    lose_transaction();\n", ""),
    "session: a shard's last words are kept from the client": (
        "proxy/session/session_end.cc", SESSION("end"), "return keeps || (words && !(unread || (went_idle() && !block)));", "return false;"),
    "session: a server that went before it had read anything ends the session": (
        "proxy/session/session_end.cc", SESSION("end"), "!(unread || (went_idle() && !block))", "!(went_idle() && !block)"),
    "session: a server that went because it was idle ends the session": (
        "proxy/session/session_end.cc", SESSION("end"), "!(unread || (went_idle() && !block))", "!unread"),
    "session: an error of the statement's own leaves its commit unknown": (
        "proxy/session/session_end.cc", SESSION("end"), " && !(in_order && is_certain(it.words->sqlstate))", ""),
    "session: a warning in front of the end is as certain as an error": (
        "proxy/session/session_end.cc", SESSION("end"), 'it.words && it.words->severity != "WARNING"', "it.words.has_value()"),
    "session: nobody minds a client's own time-outs": (
        "proxy/session/session_timeouts.cc", SESSION("end"), "unit_place_, now, own_limit(now));", "unit_place_, now);"),
    "session: a client's own time-outs hold beside its server's": (
        "proxy/session/session_timeouts.cc", SESSION("end"), "  if (state_.block_since && here_.server && elsewhere_.empty()) return {};\n", ""),
    "session: an empty query overtakes what was flushed": (
        "proxy/session/session_query.cc", SESSION("table"), "  keep_passed();\n  if (only_blanks(plan) && !here_.unsynced)", "  if (only_blanks(plan))"),
    "session: Terminate overtakes what was flushed": (
        "proxy/session/session.cc", SESSION("table"), "return !wait_for_answers() && (closing_ = true);", "return closing_ = true;"),
    "session: a gate waits for transactions that have ended": (
        "proxy/session/session_relay.cc", SESSION("gate"), "w_.gate.transaction_ended(std::exchange(touched_, 0));", "touched_ = 0;"),
}

OBJECTS = tempfile.TemporaryDirectory()


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


@functools.cache
def commands(room):
    """What ninja would run: the compiler's line for a test of this folder, and the linker's."""
    lines = run(["ninja", "-C", BUILD, "-t", "commands", f"{room}_test"], check=True).stdout.splitlines()
    compiler = shlex.split(next(line for line in lines if line.endswith(f"{room}/main.cc")))
    program = f"tests/unit/{room}/{room}_test"
    linker = next(line for line in lines if f" -o {program} " in line).split("&&")[1].split()
    keep = [word for word in compiler if word.startswith(("-D", "-I", "-std", "/usr/bin/c++", "-isystem"))]
    at = compiler.index("-isystem")
    libraries = linker[linker.index(program) + 1:]
    return [word for word in keep if word != "-isystem"] + compiler[at:at + 2] + ["-O0"], libraries


def source(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


@functools.cache
def beside(room, test, path):
    """What the test is linked with besides, made once: sources of the room of the file, and the objects of what its test shares with others."""
    sources = [os.path.join(SOURCE, other) for other in BESIDE.get(f"{room}/{test}", ())]
    if not path.startswith(SAME_ROOM):
        return sources
    others = [os.path.join(SOURCE, SAME_ROOM, name) for name in sorted(os.listdir(os.path.join(SOURCE, SAME_ROOM)))]
    others = [one for one in others if one.endswith(".cc")]

    def make(one):
        made = os.path.join(OBJECTS.name, os.path.basename(one) + ".o")
        if not os.path.exists(made):
            run([*commands(room)[0], "-c", one, "-o", made], cwd=BUILD, check=True)
        return made

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        objects = [made for made, one in zip(workers.map(make, others), others) if not one.endswith("/" + os.path.basename(path))]
    shared = glob.glob(os.path.join(BUILD, "tests", "unit", room, "CMakeFiles", f"{room}_test.dir", "scripted_*.o"))
    return [*objects, *shared, os.path.join(BUILD, "tests", "unit", room, "CMakeFiles", f"{room}_test.dir", "frame_text.cc.o")]


def passes(text, test, folder, path):
    """Whether the test passes with this text of the file; a string says why it was not made."""
    room, test = test.split("/")
    compiler, libraries = commands(room)
    broken, program = os.path.join(folder, "broken.cc"), os.path.join(folder, "test")
    with open(broken, "w", encoding="utf-8") as file:
        file.write(text)
    tests = [os.path.join(SOURCE, "tests", "unit", room, name) for name in ("main.cc", test)]
    tests += beside(room, test, path)
    # What is linked first wins over the library's own.
    made = run([*compiler, broken, *tests, "-o", program, "-Wl,--allow-multiple-definition", *libraries], cwd=BUILD)
    if made.returncode != 0:
        return made.stderr[-2000:]
    try:
        return run([program], timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main():
    wrong, whole, look = 0, set(), sys.argv[1:] == ["--look"]
    for name, (path, test, there, instead) in ROWS.items():
        if not look and not all(word in name for word in sys.argv[1:]):
            continue
        text = source(path)
        with tempfile.TemporaryDirectory() as folder:
            if text.count(there) != 1:
                found = f"{there!r} stands {text.count(there)} times in {path}"
            elif look:
                continue
            elif (path, test) not in whole and passes(text, test, folder, path) is not True:
                found = f"{test} is red with the rule in force"
            else:
                whole.add((path, test))
                found = {True: "all tests pass", False: "red"}.get(answer := passes(text.replace(there, instead), test, folder, path), answer)
        print(f"{name}: {found}", flush=True)
        wrong += found != "red"
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
