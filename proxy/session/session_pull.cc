// A statement that no shard can answer from its own rows, and whose answers do not add up (executor `pull`, DESIGN 9): the rows of all of its
// relations are copied from the branches to a server of their own on the default shard, and it runs there. In this order:
//
//   1. its Parse, Bind and Describe go to the first branch: what is wrong with the statement is told as PostgreSQL does, and what its rows look like
//   2. a server of the default shard begins a transaction and makes empty copies
//   3. under the commit barrier every branch binds the question for its rows
//   4. rows go from branch after branch to the copies; no more of them are here than a chunk for each copy and what the server has not taken yet
//   5. the statement runs on the copies, and its rows go to the client as they come
//   6. that server rolls back: nothing of the copies is left
//
// Declared in proxy/session/session.h.
#include <algorithm>

#include "proxy/session/session.h"
#include "proxy/shard/conversation.h"
#include "proxy/transaction/concat.h"
#include "proxy/transaction/pull_copy.h"
#include "routing/analysis/pull.h"

namespace proxy {

using protocol::transaction_status;

namespace {

constexpr std::uint64_t no_statement = ~std::uint64_t{0};  // that a server keeps
constexpr std::size_t most_unsent = 1u << 20;  // to the copies

protocol::notice no_copies(std::string_view why) {
  return make_error(sqlstate::not_one_shard, "a statement over several shards cannot be answered here", std::string(why),
                    "Limit its tables by their shard keys, or send it outside of the transaction.");
}

// Not all that was asked for up to a Flush, nor an error.
bool answers_still(const exchange& answers) { return !answers.idle() || !answers.at_boundary(); }

bool names_time(const protocol::bind& values) {
  return std::ranges::any_of(values.values, [](const auto& value) { return value && value->size() < 64 && routing::is_word_for_time(*value); });
}

}  // namespace

// What it runs on, or why not: what the analysis could not see, since only now are values and session known.
std::optional<protocol::notice> session::plan_copies(routing::pull_plan& plan) {
  const auto& bind = bind_of_batch();
  auto made = state_.escapes ? std::nullopt : routing::plan_pull(bind.statement->sql, *w_.map);
  if (!made) return no_copies("Its text is read in another way than by the settings that PostgreSQL starts with.");
  if (unit_in_block_ && (made->tells_time || !protocol::decode_bind(bind.body(), w_.bind) || names_time(w_.bind)))
    return no_copies("It asks for the time at which the transaction began, and the copies are of another transaction.");
  const auto has_temporary = [](const server_ptr& one) { return one && (one->pinned & routing::state::temp_objects) != 0; };
  if (has_temporary(here_.server) || std::ranges::any_of(elsewhere_, has_temporary, &branch::server) || std::ranges::any_of(state_.parked, has_temporary))
    return no_copies("The session has temporary objects, which the copies would not know.");
  plan = *std::move(made);
  return std::nullopt;
}

// batch_scatters() has seen that there is one.
const batch_item& session::bind_of_batch() const { return *std::ranges::find(batch_, 'B', &batch_item::type); }

std::vector<branch>::iterator session::copies() { return std::ranges::find(elsewhere_, true, &branch::has_copies); }

server_connection& session::copies_server() { return *copies()->server; }

// Without a notice one of elsewhere_ has them, or the session is closing.
task<std::optional<protocol::notice>> session::fetch_copies() {
  keep_passed();
  std::optional<protocol::notice> failed;
  const bool attached = co_await attach_beside(w_.map->default_shard(), failed);
  if (!attached) co_return failed;
  here_.has_copies = true;
  std::string said;
  failed = co_await hear_while(answers_still, said);
  if (!failed && !closing_) std::swap(here_, elsewhere_.back());
  co_return failed;
}

// Sends and hears what is to be had without waiting. False: nothing moved.
bool session::step_copies(copy_answers& answers) { return step(copies_server(), answers); }

// Everything that was sent has been answered; a reason where the server is lost.
task<std::optional<std::string>> session::await_copies(copy_answers& answers, std::size_t queries) {
  while (answers.ready() < queries && !closing_) {
    if (step_copies(answers)) continue;
    if (!answers.is_open()) co_return std::string(words_of(answers.how()));
    auto why = give_up();
    if (why || closing_) co_return why;
    watch(copies_server());
    co_await wake_.wait();
  }
  co_return std::nullopt;
}

// What it was sent is answered, its transaction ends, and it goes back to where it came from. A notice: it is lost.
task<std::optional<protocol::notice>> session::leave_copies(copy_answers& answers, std::size_t queries) {
  if (copies() == elsewhere_.end()) co_return std::nullopt;
  const auto why = co_await await_copies(answers, queries);
  if (why) co_return broke(copies_server(), *why);
  if (closing_) co_return std::nullopt;
  std::vector<branch*> only{&*copies()};
  std::vector<std::string_view> message{"ROLLBACK"};
  const auto replies = co_await ask_branches(std::move(only), std::move(message));
  const auto left = copies();
  if (left == elsewhere_.end()) co_return std::nullopt;
  if (left->server && replies.front().is == two_phase::reply::what::done) w_.give_back(std::move(left->server));
  else discard_branch(*left);
  elsewhere_.erase(left);
  co_return std::nullopt;
}

// The client's own messages, without Execute, on the first branch: `said` is what it is to be told.
task<std::optional<protocol::notice>> session::describe_pulled(const choice& c, std::string& said) {
  co_await go_to(c.scatter.front());
  for (const auto& item : batch_)
    if (item.type != 'E') write_item(item);
  end_run();
  protocol::append_flush(here_.server->out);
  flush_server();
  co_return co_await hear_while(answers_still, said);
}

// Binds the question for their rows on all of them. False: a commit has come over it, and there is no error, which would be the answer.
task<bool> session::bind_rows(const choice& c, const routing::pull_plan& plan, std::vector<std::string>& early, std::optional<protocol::notice>& failed) {
  auto inside = co_await enter_with_statement();
  const gate_book::snapshots taking(w_.gate);
  for (const auto shard : c.scatter) {
    co_await go_to(shard);
    say_missed(here_);
    auto& server = *here_.server;
    const auto sql = rows_of_shard(plan.copies, shard, *w_.map);
    protocol::parse parse;
    parse.sql = sql;
    protocol::bind bind;
    bind.result_formats = {1};
    protocol::append(server.out, parse);
    protocol::append(server.out, bind);
    protocol::append_flush(server.out);
    server.answers.expect(request::parse, fate::relay, no_statement);
    server.answers.expect(request::bind);
    server.statements.unnamed = 0;
    flush_server();
  }
  for (std::size_t i = 0; i < c.scatter.size() && !failed && !closing_; ++i) {
    co_await go_to(c.scatter[i]);
    early[i].clear();
    failed = co_await hear_while(answers_still, early[i]);
  }
  co_return !inside.is_overrun() || std::ranges::any_of(early, protocol::has_error);
}

// From the branch at hand to the copies.
task<std::optional<protocol::notice>> session::pass_rows(pull_copy& rows, copy_answers& answers) {
  std::string said;
  while (!closing_) {
    bool moved = false;
    const bool full = copies_server().out.size() - copies_server().out_at > most_unsent;
    auto why = full ? std::nullopt : hear_server(said, moved);
    rows.take(said, copies_server().out);
    said.clear();
    moved = step_copies(answers) || moved;
    if (!answers.failure().empty()) rows.fail(answers.failure());
    if (!answers.is_open()) co_return broke(copies_server(), words_of(answers.how()));
    if (why) co_return broke(*here_.server, *why);
    if (!full && !answers_still(here_.server->answers)) co_return std::nullopt;
    if (moved) continue;
    why = give_up();
    if (why) co_return broke(*here_.server, *why);
    if (closing_) break;
    if (!full) watch(*here_.server);
    watch(copies_server());
    co_await wake_.wait();
  }
  co_return std::nullopt;
}

// All rows of all branches; or rows.failure().
task<std::optional<protocol::notice>> session::fill_copies(const choice& c, pull_copy& rows, copy_answers& answers, const std::vector<std::string>& early) {
  const bool bound = std::ranges::none_of(early, protocol::has_error);
  for (const auto shard : c.scatter) {
    co_await go_to(shard);
    if (bound) {
      protocol::append(here_.server->out, protocol::execute{});
      here_.server->answers.expect(request::execute);
    }
    sync_server();
    flush_server();
  }
  std::optional<protocol::notice> failed;
  for (std::size_t i = 0; i < c.scatter.size() && !failed && !closing_; ++i) {
    co_await go_to(c.scatter[i]);
    rows.take(early[i], copies_server().out);
    const bool in_vain = !rows.failure().empty();
    failed = co_await pass_rows(rows, answers);
    if (!in_vain && !rows.failure().empty() && !closing_) cancel_running();
  }
  if (failed || closing_ || !rows.failure().empty()) co_return failed;
  rows.finish(copies_server().out);
  const auto why = co_await await_copies(answers, rows.queries());
  if (why) co_return broke(copies_server(), *why);
  if (!answers.failure().empty()) rows.fail(answers.failure());
  co_return std::nullopt;
}

// The statement, as the client has sent it: PostgreSQL forgets a cancel that comes between messages of the extended protocol.
void session::say_on_copies(const routing::pull_plan& plan, bool simple, bool described) {
  auto& server = *here_.server;
  server.statements.unnamed = 0;
  if (simple) {
    protocol::append(server.out, protocol::query{plan.sql});
    server.answers.expect(request::query);
    return;
  }
  const auto& item = bind_of_batch();
  protocol::parse parse;
  parse.sql = plan.sql;
  parse.types = item.statement->types;
  protocol::decode_bind(item.body(), w_.bind);
  w_.bind.portal = w_.bind.statement = {};
  protocol::append(server.out, parse);
  protocol::append(server.out, w_.bind);
  const protocol::describe rows{'P', ""};
  if (described) protocol::append(server.out, rows);
  protocol::append(server.out, protocol::execute{});
  protocol::append_sync(server.out);
  server.answers.expect(request::parse, fate::relay, no_statement);
  server.answers.expect(request::bind);
  if (described) server.answers.expect(request::describe_portal);
  server.answers.expect(request::execute);
  server.answers.expect(request::sync);
}

// `answer` is told. Afterwards here_ is where it was.
task<std::optional<protocol::notice>> session::run_on_copies(const routing::pull_plan& plan, concat& answer, bool simple, bool described) {
  keep_passed();
  const auto* attached = here_.server.get();
  std::swap(here_, *copies());
  say_on_copies(plan, simple, described);
  flush_server();
  answer.next_shard();
  auto failed = co_await pass_answer(&answer);
  const auto before = std::ranges::find(elsewhere_, attached, [](const branch& b) { return b.server.get(); });
  if (before != elsewhere_.end()) std::swap(here_, *before);
  co_return failed;
}

// The client knows already; the transaction that the statement is of fails with it.
task<void> session::fail_transaction() {
  fail_on_server(make_error(sqlstate::failed_transaction, "the statement failed"));
  sync_server();
  co_await pass_answer(nullptr);
}

// What was begun for it is given up, and the statement is to be placed anew.
task<std::optional<protocol::notice>> session::unpull(const choice& c, copy_answers& answers, std::size_t queries) {
  auto failed = co_await leave_copies(answers, queries);
  co_await go_to(c.scatter.front());
  const auto portal = protocol::decode_bind(bind_of_batch().body())->portal;
  const protocol::close bound{'P', portal};
  protocol::append(here_.server->out, bound);
  here_.server->answers.expect(request::close);
  for (std::size_t i = 0; i < c.scatter.size() && !failed && !closing_; ++i) {
    co_await go_to(c.scatter[i]);
    sync_server();
    failed = co_await pass_answer(nullptr);
  }
  co_return failed;
}

// False: the map or a gate has changed, and the client was told nothing.
task<bool> session::pull(const choice& c, const routing::pull_plan& plan, bool simple, std::uint64_t version) {
  scattering_ = true;
  ++w_.counted.routed_pulled;
  concat answer(simple);
  pull_copy rows(plan, w_.settings.pull_limit);
  copy_answers answers;
  std::string said;
  auto failed = co_await describe_pulled(c, said);
  const bool wrong = protocol::has_error(said);
  if (!failed && !wrong && !closing_) failed = co_await fetch_copies();
  const bool has_copies = !failed && !wrong && !closing_;
  std::vector<std::string> early(c.scatter.size());
  if (has_copies) {
    rows.begin(copies_server().out, log_);
    step_copies(answers);
    bool bound = false;
    while (!bound && !failed && !closing_) {
      bound = co_await bind_rows(c, plan, early, failed);
      if (failed || closing_) break;
      if (version != w_.routing_version) {
        failed = co_await unpull(c, answers, rows.queries());
        if (failed || closing_) break;
        scattering_ = false;
        co_return false;
      }
      if (!bound) failed = co_await discard_binds(c);
    }
  }
  if (!closing_) answer.take(said, out_);
  if (has_copies && !failed && !closing_) failed = co_await fill_copies(c, rows, answers, early);
  if (has_copies && !failed && !closing_ && rows.failure().empty()) {
    failed = co_await run_on_copies(plan, answer, simple, protocol::has_message(said, 'T'));
  } else if (!has_copies && !failed && !closing_) {
    sync_server();
    failed = co_await pass_answer(&answer);
  }
  if (!rows.failure().empty()) answer.take(rows.failure(), out_);
  if (!failed && !closing_) failed = co_await leave_copies(answers, rows.queries());
  if (!failed && !closing_) co_await go_to(c.scatter.front());
  if (!failed && !closing_ && answer.failed() && here_.status == transaction_status::in_transaction) co_await fail_transaction();
  co_await end_scattered(answer, std::move(failed));
  co_return true;
}

}  // namespace proxy
