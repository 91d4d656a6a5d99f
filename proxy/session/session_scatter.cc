// A statement that several shards answer together (executor `concat`, DESIGN 9): each is a branch of the client's transaction, or of one that lasts
// as long as the statement. All are sent Parse and Bind under the commit barrier, so that no snapshot is taken in the middle of a commit over several
// shards, then Execute; their answers are passed on one shard after the other, while the others' wait in their sockets. Declared in
// proxy/session/session.h.
#include <algorithm>

#include "proxy/session/session.h"
#include "proxy/shard/conversation.h"
#include "proxy/transaction/concat.h"
#include "routing/analysis/pull.h"

namespace proxy {

using protocol::transaction_status;

namespace {

constexpr auto barrier_poll = std::chrono::milliseconds(1);

protocol::notice not_while_moving() {
  return make_error(sqlstate::not_one_shard, "a statement over several shards is not possible while keys of its table are being moved",
                    "Both shards of a migration hold rows of the moving range until it has ended.", "Retry after the migration, or name the shard key.");
}

protocol::notice older_snapshot() {
  return make_error(sqlstate::serialization_failure, "could not serialize access: the routing map has changed during the transaction",
                    "A snapshot of the transaction is older and does not see rows that have moved since.", "Retry the transaction.");
}

bool binds(const exchange& answers) { return answers.has(request::bind); }

}  // namespace

// May what is refused for being on several shards run on all of them?
bool session::may_scatter(choice& c, const routing::statement_plan& plan, const routing::decision& decided) const {
  if (!decided.may_scatter() || plan.execute) return false;
  const bool attached = here_.server && !here_.borrowed;
  if (attached && !may_branch()) return false;
  if (c.foreign_snapshot) return false;
  const auto moves = [this](routing::distribution_id id) { return w_.gate.knows(id); };
  if (decided.pulls ? std::ranges::any_of(plan.pulls->distributions, moves) : moves(*plan.adds_up)) return c.refused = not_while_moving(), false;
  const auto is_older = [this](const branch& b) { return b.server && !b.borrowed && (b.snapshot_map ? b.snapshot_map : b.map_at_attach) != w_.map; };
  if (attached && (is_older(here_) || std::any_of(elsewhere_.begin(), elsewhere_.end(), is_older))) return c.refused = older_snapshot(), false;
  return true;
}

protocol::notice session::scattered_beside_others() {
  return make_error(sqlstate::not_one_shard, "a statement over several shards must be alone in its message or pipeline", "",
                    "Send it with its own Sync, and fetch all of its rows at once.");
}

// One statement, bound once and run to its end.
bool session::batch_scatters(char end) const noexcept {
  const auto count = [this](char type) { return std::count_if(batch_.begin(), batch_.end(), [type](const auto& item) { return item.type == type; }); };
  const auto* plan = batch_.empty() ? nullptr : batch_.back().plan;
  const bool one = std::all_of(batch_.begin(), batch_.end(), [&](const batch_item& item) { return item.type == 'c' || (item.plan == plan && !item.is_front()); });
  if (end != 'S' || !one || count('B') != 1 || count('E') != 1 || batch_.back().type != 'E' || count('y') + count('z') > 0) return false;
  const auto execute = protocol::decode_execute(batch_.back().body());
  return execute && execute->max_rows == 0 && !batch_refused_;
}

// Without a notice every shard has its branch, unless the session is closing, or the map or a gate changed meanwhile.
task<std::optional<protocol::notice>> session::gather_branches(const choice& c) {
  if (!here_.server) {
    const auto version = w_.routing_version;
    auto failed = co_await attach_adjusted(c.scatter.front());
    if (failed || closing_ || !here_.server) co_return failed;
    if (version != w_.routing_version) {
      release_server();
      co_return std::nullopt;
    }
    catch_up();
    put_held_in_front();
  }
  for (const auto shard : c.scatter) {  // in the order of their ids, so that two who gather do not wait for each other
    if (branch_on(shard)) continue;
    auto failed = co_await go_to(shard);
    if (failed || closing_) co_return failed;
  }
  co_return std::nullopt;
}

// Those that only the statement had; the client is answered before they are finished.
std::vector<branch> session::leave_scattered() { return unit_in_block_ ? std::vector<branch>() : leave_branches(); }

// Where the map or a gate changed, or a commit came over its snapshots, the statement is to be placed anew.
task<std::optional<protocol::notice>> session::run_scattered(const choice& c, bool simple) {
  const auto version = w_.routing_version;
  auto failed = co_await gather_branches(c);
  const bool placed = !failed && !closing_ && version == w_.routing_version;
  if (placed && c.pulls) {
    routing::pull_plan plan;
    failed = plan_copies(plan);
    if (!failed) {
      touch(c);
      done_.over = co_await pull(c, plan, simple, version);
      if (done_.over) co_return std::nullopt;
    }
  } else if (placed) {
    auto inside = co_await enter_with_statement();
    if (!closing_ && version == w_.routing_version) {
      touch(c);
      done_.over = co_await scatter(c, simple, std::move(inside));
      co_return std::nullopt;
    }
  }
  auto ended = leave_scattered();
  co_await finish_branches(std::move(ended));
  co_return failed;
}

// None where the session is closing.
task<commit_barrier::pass> session::enter_with_statement() {
  const commit_barrier::wish wish(*w_.shared.barrier);
  auto inside = w_.shared.barrier->enter_statement();
  while (!inside && !closing_) {
    co_await wake_.wait(clock::now() + barrier_poll);
    inside = w_.shared.barrier->enter_statement();
  }
  co_return inside;
}

// A simple query is sent as one of the extended protocol: there BindComplete says that the snapshot has been taken.
task<std::optional<protocol::notice>> session::scatter_query(const choice& c, std::string_view frame) {
  const auto plan = plan_of_query(frame);
  const auto sql = protocol::decode_query(frame.substr(protocol::frame_header_size))->sql;
  std::string frames;
  std::array<std::size_t, 5> ends{};
  protocol::parse parse;
  parse.sql = sql;
  const protocol::describe describe{'P', ""};
  protocol::append(frames, parse);
  ends[1] = frames.size();
  protocol::append(frames, protocol::bind{});
  ends[2] = frames.size();
  protocol::append(frames, describe);
  ends[3] = frames.size();
  protocol::append(frames, protocol::execute{});
  ends[4] = frames.size();
  batch_.clear();
  const auto statement = w_.statements.find_or_make(sql, {}, false);
  for (std::size_t i = 0; i < 4; ++i) {
    auto& item = batch_.emplace_back();
    item.type = "PBdE"[i];
    item.frame = std::string_view(frames).substr(ends[i], ends[i + 1] - ends[i]);
    item.statement = statement;
    item.plan = &plan->statements.front();
  }
  auto failed = co_await run_scattered(c, true);
  batch_.clear();
  co_return failed;
}

// Sends all, and lets the client see one answer. False: a commit has come over it, and nothing was seen.
task<bool> session::scatter(const choice& c, bool simple, commit_barrier::pass inside) {
  scattering_ = true;
  concat answer(simple);
  std::vector<std::string> early(c.scatter.size());
  auto failed = co_await take_snapshots(c, early);
  // An error, a cancel among them, is the answer: it is told, and none of the rows.
  const bool refused = std::any_of(early.begin(), early.end(), protocol::has_error);
  const bool again = inside.is_overrun() && !refused;
  inside = {};
  if (again && !failed) failed = co_await discard_binds(c);
  if (again && !failed && !closing_) {
    scattering_ = false;
    auto ended = leave_scattered();
    co_await finish_branches(std::move(ended));
    co_return false;
  }
  ++w_.counted.routed_scattered;
  const bool bound = !failed && !refused;
  const auto execute = batch_.back().frame;
  for (std::size_t i = 0; i < c.scatter.size() && !failed && !closing_; ++i) {
    co_await go_to(c.scatter[i]);
    auto& server = *here_.server;
    if (bound) server.out.append(execute), server.answers.expect(request::execute);
    protocol::append_sync(server.out);
    server.answers.expect(request::sync);
    flush_server();
  }
  std::optional<routing::shard_id> failed_on;
  for (std::size_t i = 0; i < c.scatter.size() && !failed && !closing_; ++i) {
    co_await go_to(c.scatter[i]);
    answer.take(early[i], out_);
    failed = co_await pass_answer(&answer);
    if (answer.failed() && !failed_on) failed_on = c.scatter[i];
    answer.next_shard();
  }
  if (!failed && !closing_ && failed_on) co_await go_to(*failed_on);  // the transaction has failed there
  co_await end_scattered(answer, std::move(failed));
  co_return true;
}

// `failed`: a shard is lost, and the transaction with it.
task<void> session::end_scattered(const concat& answer, std::optional<protocol::notice> failed) {
  scattering_ = false;
  if (failed && !answer.at_boundary()) closing_ = true;  // nothing can be said in the middle of a message
  if (closing_) co_return;
  if (failed) {
    if (!answer.failed()) answer_error(*failed);
    lose_transaction();
  } else {
    answer.finish(out_);
  }
  auto ended = leave_scattered();
  finish_alone();
  co_await finish_branches(std::move(ended));
}

// Parse and Bind on all of them; what they say to that is kept.
task<std::optional<protocol::notice>> session::take_snapshots(const choice& c, std::vector<std::string>& early) {
  const gate_book::snapshots taking(w_.gate);
  for (const auto shard : c.scatter) {
    co_await go_to(shard);
    say_missed(here_);
    for (auto item : batch_) {
      if (shard != c.scatter.front()) item.undo = 0;  // what a refusal takes back of the client's names, it takes back once
      if (item.type != 'E') write_item(item);
    }
    end_run();
    protocol::append_flush(here_.server->out);
    flush_server();
  }
  std::optional<protocol::notice> failed;
  for (std::size_t i = 0; i < c.scatter.size() && !failed && !closing_; ++i) {
    co_await go_to(c.scatter[i]);
    failed = co_await hear_while(binds, early[i]);
  }
  co_return failed;
}

// A commit has come over them, and the client sees none of it.
task<std::optional<protocol::notice>> session::discard_binds(const choice& c) {
  std::optional<protocol::notice> failed;
  for (std::size_t i = 0; i < c.scatter.size() && !failed && !closing_; ++i) {
    co_await go_to(c.scatter[i]);
    protocol::append_sync(here_.server->out);
    here_.server->answers.expect(request::sync);
    failed = co_await pass_answer(nullptr);
  }
  co_return failed;
}

// As long as it has something to answer by `waits`.
task<std::optional<protocol::notice>> session::hear_while(bool (*waits)(const exchange&), std::string& said) {
  while (waits(here_.server->answers) && !closing_) {
    bool moved = false;
    auto why = hear_server(said, moved);
    if (!why && !moved) why = co_await wait_for_server();
    if (why) co_return broke(*here_.server, *why);
  }
  co_return std::nullopt;
}

// Up to ReadyForQuery; to nobody without `answer`.
task<std::optional<protocol::notice>> session::pass_answer(concat* answer) {
  std::string said;
  while (!closing_) {
    flush_client();
    if (out_.size() - out_at_ > byte_queue::block_size) {
      if (auto why = give_up()) co_return broke(*here_.server, *why);
      if (closing_) break;
      client_.watch_write();
      co_await wake_.wait();
      continue;
    }
    bool moved = false;
    auto why = hear_server(said, moved);
    if (answer) answer->take(said, out_);
    said.clear();
    if (!why && here_.server->answers.idle()) co_return std::nullopt;
    if (!why && !moved) why = co_await wait_for_server();
    if (why) co_return broke(*here_.server, *why);
  }
  co_return std::nullopt;
}

// A reason where the shard is given up: the statement is on others too, so that server_lost() is not for it.
std::optional<std::string> session::give_up() {
  const bool disobeyed = expired_ == timed::obey;
  if (disobeyed) expired_.reset();
  if (disobeyed) return std::string(disobedient);
  if (expired_) obey_time();
  if (killed_) obey_kill();
  return std::nullopt;
}

task<std::optional<std::string>> session::wait_for_server() {
  auto why = give_up();
  if (why || closing_) co_return why;
  watch(*here_.server);
  co_await wake_.wait();
  co_return std::nullopt;
}

}  // namespace proxy
