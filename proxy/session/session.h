// One client: greeting, login, then one loop that takes client messages, decides where they run, holds them at the gate, borrows a
// server from ReadyForQuery to ReadyForQuery, and relays. Lives on its worker's thread, kept alive by its own coroutine (run()).
// Split over session_login.cc, session_console.cc, session_replication.cc, session_query.cc (simple protocol), session_batch.cc and session_write.cc (extended),
// session_large.cc (messages that are passed on as they come), session_needs.cc (what a message lacks), session_prepared.cc (two-phase commit),
// session_route.cc (shard, gate, pool), session_branches.cc, session_commit.cc and session_scatter.cc (several shards), session_reading.cc
// (settings that change what a statement says), session_snapshot.cc (how old a transaction's snapshot may be), session_moves.cc (transactions
// that belong to no shard yet), session_replay.cc (what outlives transactions), session_relay.cc (bytes, ends of transactions, lost servers),
// session_types.cc (questions between messages: types of parameters, what is asked of clients), session_timeouts.cc and session_end.cc.
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/container/small_vector.hpp>

#include "migration/engine/prepared_names.h"
#include "protocol/frontend.h"
#include "proxy/config/errors.h"
#include "proxy/net/byte_queue.h"
#include "proxy/net/stream.h"
#include "proxy/session/services.h"
#include "proxy/session/session_state.h"
#include "proxy/shard/pool.h"
#include "proxy/shard/server_connection.h"
#include "proxy/state/prepared.h"
#include "proxy/transaction/branch.h"
#include "proxy/transaction/held_transaction.h"
#include "proxy/transaction/process_question.h"
#include "proxy/transaction/session_choice.h"

namespace routing {
struct pull_plan;
}

namespace proxy {

class concat;
class console_talk;
class copy_answers;
class exchange_conversation;
class pull_copy;

class session final : public std::enable_shared_from_this<session>, public timed_client, private readiness_listener {
 public:
  // With a channel that needs no socket, -1.
  session(services&, int client_socket, std::int32_t pid, std::unique_ptr<channel> = nullptr);
  task<void> run();

  // From the worker, on its thread. What fails in here ends this session.
  void cancel(std::string_view key) noexcept;
  void obey_signal(process_signal) noexcept;  // of another client, who may
  void leave_when_idle();  // drain
  void leave_now() noexcept;
  void leave_told() noexcept;  // the same, and says why where the client is not in the middle of a message, and no commit is under way
  void leave_told(protocol::notice why) noexcept;
  void time_is_up(timed) noexcept override;
  void make_room() noexcept;  // too many are logging in
  void kill() noexcept;  // KILL of its database
  const std::string& database() const noexcept { return database_; }
  // A set became known while this session has a transaction open on its source: counts as touching it.
  void touch_if_attached(routing::shard_id source, touch_bits bit);
  void forget_touch(touch_bits bit) noexcept { touched_ &= ~bit; }
  touch_bits touched() const noexcept { return touched_; }
  migration::open_transaction open_transaction() const;  // of one that has touched a set
  bool is_inside() const noexcept { return logged_in_; }
  std::int32_t pid() const noexcept { return pid_; }
  std::vector<std::optional<std::string>> describe() const;  // a row of SHOW CLIENTS
  // The server with that serial number of that pool, if this client has it, in a transaction or parked.
  server_connection* holding(const pool*, std::uint64_t serial) const noexcept;

 private:
  static constexpr std::string_view disobedient = "The shard did not obey a cancel after [timeouts] query_ms.";
  static constexpr std::size_t most_gathered = 256u << 10;  // of a pipeline that may be cut
  static constexpr std::size_t much_memory = 256u << 10;  // of a text: its analysis takes hundreds of times as much
  static constexpr int rounds_in_a_row = 32;  // then the worker's other sessions have their turn

  using choice = session_choice;

  // session_login.cc
  task<bool> greet();
  task<bool> answer_request(bool ssl);
  task<bool> begins_with_tls();
  task<bool> secure(bool direct);
  task<bool> wait_for_client();
  task<bool> authenticate();
  task<bool> scram_exchange(const user_secret&, bool known_user);
  task<bool> welcome();
  task<std::optional<protocol::first_packet>> first_packet();
  task<std::optional<std::string>> sasl_message();
  task<bool> receive_more(std::size_t whole);
  void append_authentication(protocol::auth, std::string_view data);
  bool accept_startup(const protocol::startup&);
  bool accept_replication(std::string_view value);
  bool accept_database();
  bool has_place();
  bool is_console() const noexcept { return database_ == "pgrotor"; }
  std::string_view cancel_key() const noexcept;
  text_pairs with_name(text_pairs);
  void tell_parameters(const text_pairs&);

  // session_console.cc
  task<void> serve_console();
  task<void> answer_console(console_talk&, char type, std::string_view body);
  void end_console_pipeline(console_talk&);
  void log_command(std::string_view text, std::string_view outcome) const;
  task<void> receive_console();

  // session_replication.cc
  task<void> serve_replication();
  task<bool> open_replication();
  bool relay_replication();

  // session.cc
  enum class replication { none, of_database, of_cluster };  // of the last two bytes are relayed to a server of their own
  enum class turn { wait, again, leave };  // what is to be done next: wait, let others run and go on, go on in the coroutine
  task<void> serve();
  turn serve_rounds();
  bool serve_once();
  void on_ready() override;
  bool take_message();
  bool take_pipeline();
  bool may_cut() const noexcept;
  bool gather_more();
  bool run_gathered(char end);
  bool wait_for_answers();
  bool answers_are_missing() const noexcept;
  void taken(char type, std::size_t size, bool done);
  void queue_up(pool&);
  void cancel_now();
  void cancel_running();
  bool leave_queue();
  bool next_frame(std::size_t at, protocol::frame_header&);
  bool have_whole(std::size_t bytes);
  void claim(std::size_t bytes);
  void unclaim() noexcept;
  bool skip_input();
  bool skip_frame(const protocol::frame_header&);
  void end_skipping();
  void watch_everything();
  bool may_take() const noexcept;
  bool server_may_move() const noexcept;
  bool has_input() const noexcept { return !in_.empty() || client_.readable(); }
  bool read_client();

  // session_end.cc
  struct loss;
  void fatal(protocol::notice);
  loss loss_of_server() const;
  void server_lost(std::string_view why);
  void drop_server(std::string_view why);
  protocol::notice broke(const server_connection&, std::string_view why);
  void fail(std::exception_ptr) noexcept;
  void tell_failure(std::exception_ptr) noexcept;
  task<void> say_goodbye();
  void finish_session() noexcept;

  // session_needs.cc
  need attempt(char type, std::string_view frame, choice&);
  bool try_now(char type, std::string_view frame);
  task<void> run_held_up();
  void refuse_held_up(char type, protocol::notice why);
  need lacks(choice&);
  routing::shard_id shard_for(const choice& c) const { return c.shard ? *c.shard : usual_shard(); }
  task<std::optional<protocol::notice>> provide(need, const choice&, char type, std::string_view frame);
  task<std::optional<protocol::notice>> join_branch(const choice&);
  task<std::optional<protocol::notice>> fetch_server(const choice&);

  // session_timeouts.cc
  void clock_work();
  void clock_arrival();
  void clock_rest(clock::time_point now);
  void clock_question();
  const client_timeouts& own_timeouts();
  std::chrono::milliseconds own_limit(clock::time_point now);
  void end_idle_transaction();
  bool end_overdue_question();
  bool may_end_question() const noexcept;
  bool may_give_server_up() const noexcept;
  void cancel_overdue();
  void note_time(timed);
  void obey_time();
  void end_disobedience();
  void end_overdue_transaction();
  void obey_kill();

  // session_query.cc
  need try_query(std::string_view frame, choice&);
  need try_call(std::string_view frame, choice&);
  std::shared_ptr<const routing::text_plan> plan_of_query(std::string_view frame);
  void send_query(std::string_view frame, const routing::text_plan&, const choice&);
  void refuse_prepare(const protocol::notice&);
  bool refuse_block(const routing::statement_plan&);
  bool answer_query_alone(const routing::text_plan&, std::string_view sql);
  void choose_for_query(const routing::text_plan&, std::string_view sql, choice&);
  void note_sayings_of(choice&, const routing::text_plan&, std::string_view sql) const;
  void answer_control(const routing::statement_plan&, std::string_view sql, std::string& out);
  bool answer_reset(const routing::statement_plan&);
  std::string_view forget(const routing::statement_plan&);
  bool answered_by_proxy(const routing::statement_plan&) const;
  bool in_transaction() const noexcept;
  void refuse_query(const protocol::notice&);
  void sync_server();

  // session_batch.cc
  bool batch_now(std::string_view frames, char end);
  need try_batch(char end, choice&);
  need place_batch(char end, choice&);
  void send_batch(char end);
  void read_batch(std::string_view frames);
  bool read_item(batch_item&);
  bool read_parse(batch_item&);
  bool read_bind(batch_item&);
  bool read_describe(batch_item&);
  bool read_close(batch_item&);
  void refuse_item(protocol::notice);
  void find_plans();
  void mark_resets();
  const routing::statement_plan* plan_of(const statement_ptr&);
  bool read_values(const batch_item&);
  void keep_values(const batch_item&);
  void choose_for_batch(choice&);
  bool choose_for_item(const batch_item&, choice&);
  void cut_batch(std::size_t from, protocol::notice why);
  bool is_ours(const batch_item&) const;
  bool batch_needs_transaction(char end);
  bool batch_needs_server();
  routing::shard_id preparing_shard() const;
  void answer_batch_alone(char end);

  // session_large.cc
  bool is_streamed(const protocol::frame_header&, std::size_t at) const noexcept;
  bool take_front(const protocol::frame_header& bind);
  std::size_t front_needed(std::string_view bind_body);
  statement_ptr statement_ahead(std::string_view name);
  std::optional<protocol::notice> read_front(const batch_item&);
  void pass_rest() noexcept { copy_bytes_ = std::exchange(skip_bytes_, 0); }

  // session_types.cc
  task<std::optional<protocol::notice>> borrow_server();
  std::string names_scope() const;
  settings_ptr statement_scope();
  bool types_are_missing();
  task<std::optional<protocol::notice>> learn_types();
  task<std::vector<std::uint32_t>> ask_types(const prepared_statement&);
  void put_in_for_answer(std::string_view sql);
  task<std::string> end_aside();
  static std::string first_column(std::string_view rows);
  const std::vector<std::uint32_t>& types_of(const prepared_statement&, const routing::statement_plan&) const;
  bool may_ask_aside() const noexcept;
  task<std::string> ask_aside(std::string_view sql);
  bool asks_of_clients_when_run(std::size_t bind) const;
  bool has_calls_about_clients() const;
  task<std::optional<protocol::notice>> answer_calls(char type, std::string_view frame);
  task<std::optional<protocol::notice>> answer_call(std::optional<process_question>);
  task<std::optional<protocol::notice>> signal_client(process_question);
  task<void> outwait(process_question);
  // Of what was just sent.
  void amend_answer(const routing::statement_plan& plan) {
    if (!plan.processes.empty()) amend_columns(plan);
  }
  void amend_columns(const routing::statement_plan&);
  static bool wants_types(const prepared_statement&, const routing::statement_plan&) noexcept;

  // session_snapshot.cc
  static protocol::notice foreign_snapshot_refused();
  bool has_arrived(const routing::decision&) const noexcept;
  task<std::optional<protocol::notice>> judge_snapshot();
  void note_snapshot(const choice&);
  void renew_snapshot();

  // session_moves.cc
  bool has_named_portals() const noexcept;
  bool may_move() const noexcept;
  bool must_move(const choice&) const noexcept;
  task<std::optional<protocol::notice>> leave_shard();
  void note_sayings(const choice&);
  static void note_saying(choice& c, const routing::statement_plan& plan, std::string_view sql, std::span<const routing::parameter> values) {
    if (!says_nothing(plan)) note_what_is_said(c, plan, sql, values);
  }
  static void note_what_is_said(choice&, const routing::statement_plan&, std::string_view sql, std::span<const routing::parameter>);
  bool batch_runs_once() const;

  // session_branches.cc
  bool may_branch() const noexcept;
  bool must_branch(const choice&) const noexcept;
  const branch* branch_on(routing::shard_id) const noexcept;
  boost::container::small_vector<routing::shard_id, 4> attached_shards() const;
  task<std::optional<protocol::notice>> go_to(routing::shard_id);
  task<bool> attach_beside(routing::shard_id, std::optional<protocol::notice>& failed);
  void hush();
  void say_missed(branch&);
  bool must_go_back(const choice&) const noexcept;
  std::optional<protocol::notice> refuse_savepoint(const routing::statement_plan&, bool alone) const;
  task<std::optional<protocol::notice>> go_back_elsewhere(const choice&);
  task<std::vector<two_phase::reply>> ask_branches(std::vector<branch*>, std::vector<std::string_view> messages);
  void take_reply(branch&, const exchange_conversation&, two_phase::reply&);
  void lose_branch(branch&, two_phase::reply&, std::string why);
  void discard_branch(branch&) noexcept;
  void lose_branches();
  void lose_transaction();
  bool step_elsewhere();

  // session_commit.cc
  task<std::optional<protocol::notice>> end_branches(bool commit, std::vector<branch>& ended);
  task<std::optional<protocol::notice>> commit_branches(std::vector<branch*>);
  task<commit_barrier::pass> enter_barrier();
  task<two_phase::verdict> ask_verdict(const two_phase&);
  task<protocol::notice> why_refused(const two_phase&);
  std::vector<branch> leave_branches();
  task<void> finish_branches(std::vector<branch> ended);
  bool ends_branches(std::span<const routing::statement_plan>) const noexcept;
  bool batch_ends_branches() const noexcept;
  task<std::optional<protocol::notice>> end_by(routing::statement_kind, bool chain, std::string& tag, std::vector<branch>& ended);
  task<void> end_by_query(std::string_view frame);
  task<void> end_by_batch(char end);

  // session_scatter.cc
  bool may_scatter(choice&, const routing::statement_plan&, const routing::decision&) const;
  bool batch_scatters(char end) const noexcept;
  static protocol::notice scattered_beside_others();
  task<std::optional<protocol::notice>> gather_branches(const choice&);
  std::vector<branch> leave_scattered();
  task<std::optional<protocol::notice>> run_scattered(const choice&, bool simple);
  task<std::optional<protocol::notice>> scatter_query(const choice&, std::string_view frame);
  task<commit_barrier::pass> enter_with_statement();
  task<bool> scatter(const choice&, bool simple, commit_barrier::pass inside);
  task<std::optional<protocol::notice>> take_snapshots(const choice&, std::vector<std::string>& early);
  task<std::optional<protocol::notice>> discard_binds(const choice&);
  task<std::optional<protocol::notice>> pass_answer(concat*);
  std::optional<std::string> give_up();
  task<std::optional<std::string>> wait_for_server();

  task<std::optional<protocol::notice>> hear_while(bool (*waits)(const exchange&), std::string& said);
  task<void> end_scattered(const concat&, std::optional<protocol::notice> failed);

  // session_pull.cc
  std::optional<protocol::notice> plan_copies(routing::pull_plan&);
  const batch_item& bind_of_batch() const;
  std::vector<branch>::iterator copies();
  server_connection& copies_server();
  task<std::optional<protocol::notice>> fetch_copies();
  task<std::optional<protocol::notice>> leave_copies(copy_answers&, std::size_t queries);
  bool step_copies(copy_answers&);
  task<std::optional<std::string>> await_copies(copy_answers&, std::size_t queries);
  task<std::optional<protocol::notice>> describe_pulled(const choice&, std::string& said);
  task<bool> bind_rows(const choice&, const routing::pull_plan&, std::vector<std::string>& early, std::optional<protocol::notice>& failed);
  task<std::optional<protocol::notice>> pass_rows(pull_copy&, copy_answers&);
  task<std::optional<protocol::notice>> fill_copies(const choice&, pull_copy&, copy_answers&, const std::vector<std::string>& early);
  void say_on_copies(const routing::pull_plan&, bool simple, bool described);
  task<std::optional<protocol::notice>> run_on_copies(const routing::pull_plan&, concat& answer, bool simple, bool described);
  task<void> fail_transaction();
  task<std::optional<protocol::notice>> unpull(const choice&, copy_answers&, std::size_t queries);
  task<bool> pull(const choice&, const routing::pull_plan&, bool simple, std::uint64_t version);

  // session_reading.cc
  bool changes_reading(const routing::statement_plan&) const;
  bool may_be_misread(const choice&, const routing::statement_plan&, std::string_view sql);
  bool reads_alike(const routing::statement_plan&, std::string_view sql) const;
  bool has_ascii_keys(const routing::statement_plan&, std::string_view sql) const;
  protocol::notice misread() const;
  text_pairs reading() const;
  std::string_view as_read(std::string_view sql);
  std::string_view text_of(const prepared_statement&);
  void end_if_misled();

  // session_prepared.cc
  bool must_be_found(const routing::statement_plan*) const;
  bool gids_are_missing() const;
  task<std::optional<protocol::notice>> find_prepared_of(char type, std::string_view frame);
  task<std::optional<protocol::notice>> find_prepared(std::string gid);
  task<std::optional<protocol::notice>> ask_prepared(routing::shard_id, std::string_view gid, bool& has);
  std::optional<routing::shard_id> shard_of_prepared(std::string_view gid) const;
  bool out_of_place(const choice&) const;
  static protocol::notice prepared_in_pipeline();
  bool must_be_claimed(const routing::statement_plan*, bool& in_block) const;
  bool has_names_to_claim(std::span<const routing::statement_plan>) const;
  bool has_names_to_claim() const;  // the batch
  task<std::optional<protocol::notice>> claim_name(std::string gid);
  task<std::optional<protocol::notice>> claim_names_of(char type, std::string_view frame);
  void fail_prepare(const protocol::notice&, bool simple);

  // session_write.cc
  void write_batch(char end);
  void write_item(const batch_item&);
  void pass_frame(std::string_view);
  void end_run();
  bool fails_for_certain(const batch_item&) const noexcept;
  void write_parse(const batch_item&);
  void write_bind(const batch_item&);
  bool answer_item(const batch_item&, std::string& out);
  void ensure_prepared(const batch_item&);
  void explain_failure(const batch_item&);
  void make_room_for_statement();
  void close_statement(std::uint64_t id);
  void note_effects(const routing::statement_plan*, bool known);
  void note_stake(const routing::statement_plan*);

  // session_route.cc
  void begin_choice(choice&) const;  // of a new one
  bool add_to_choice(choice&, const routing::statement_plan&, std::span<const routing::parameter>);
  bool moved_away(const routing::decision&) const noexcept;
  protocol::notice second_shard(const routing::decision&) const;
  protocol::notice at_home_only(std::string_view effect) const;
  task<std::optional<protocol::notice>> hold_at_gate(touch_bits);
  task<std::optional<protocol::notice>> attach(routing::shard_id, bool sequence_values = false);
  task<std::optional<protocol::notice>> hear_late_answer();
  task<std::optional<protocol::notice>> attach_adjusted(routing::shard_id, bool sequence_values = false);
  bool attach_now(routing::shard_id, bool sequence_values = false);
  task<std::optional<protocol::notice>> settle_commits(routing::shard_id);
  server_ptr take_given(const pool*);
  void take_server(server_ptr);
  pool* pool_for(routing::shard_id);
  void put_held_in_front();
  void touch(const choice&);
  void note_touch(touch_bits);
  void fail_on_server(const protocol::notice&);

  // session_relay.cc
  bool flush_client();
  bool flush_server();
  bool step_server();
  void on_step(const exchange::step&);
  void on_error_relayed();
  void on_put_in_failed();
  void finish_unit(const exchange::step&);
  void end_transaction() noexcept;
  void release_server();
  void hear_rest(server_connection&);
  void keep_passed();
  bool forward();
  bool take_copy_frame(const protocol::frame_header&);
  void refuse_copy_frame(char type);
  void send_fence();
  void forget_questions() noexcept;
  void append_ready(protocol::transaction_status);
  bool generation_is_told() const noexcept { return !w_.map || generation_told_ == w_.map->number(); }
  void answer_error(const protocol::notice&);
  void begin_unit();
  void finish_alone();
  void answer_alone();
  void begin_where_it_listens();
  protocol::transaction_status status() const noexcept;

  // session_replay.cc
  void begin_with_server();
  task<std::optional<protocol::notice>> adjust_first(bool all = false);
  task<void> wait_for_answer();
  std::optional<std::string> hear_server(std::string& into, bool& moved);
  void adjust_along();
  void catch_up();
  void forget_sequences();
  void forget_sequences_of_others();
  std::optional<protocol::notice> allow_sequence_values();
  std::optional<protocol::notice> prepare_for(const choice&);
  sql_prepare_ptr find_sql(std::string_view name) const;
  void send_sql(std::string_view sql);
  void drop_stale_sql();
  void drop_statements();
  void forget_sql();
  bool closes_own(const routing::statement_plan&) const;
  void finish_transaction();
  void ask_server();
  void on_captured(protocol::transaction_status);
  static std::optional<protocol::notice> failure_of(const exchange&, std::string_view otherwise = "the shard's answer makes no sense");
  bool take_findings(const findings&);
  void pin(state_bits reasons);
  void park(server_ptr);
  void park_unheard();
  server_ptr take_parked(routing::shard_id);
  routing::shard_id usual_shard() const;
  bool step_parked();
  void state_lost(const server_connection&, std::string_view why);
  void watch_parked();
  void leave_parked();
  void forget_state();
  void take_asides(server_connection& server) {
    if (server.answers.has_asides()) keep_asides(server);
  }
  void keep_asides(server_connection&);
  void tell_notifications() {
    if (!state_.notifications.empty()) out_.append(std::exchange(state_.notifications, {}));
  }
  void absorb_reports(server_connection&);
  void tell_changes(const name_values_ptr& reported);
  void note_told(name_values_ptr parameters);

  bool client_output_pending() const noexcept { return out_at_ < out_.size() || here_.passed > 0; }

  services& w_;
  stream client_;
  wakeup wake_;
  bool resting_ = false;             // the coroutine waits in serve(): what happens is handled without it
  std::exception_ptr rest_failed_;   // ... and this came of it
  byte_queue in_;
  std::string out_;           // to the client; [out_at_, end) is not sent yet
  std::size_t out_at_ = 0;
  std::size_t client_rest_ = 0;  // so many bytes are known to be waiting at the socket
  std::size_t want_whole_ = 0;  // a message of this size is being gathered
  std::size_t claimed_ = 0;     // of the worker's budget for large ones
  std::size_t scanned_ = 0;   // bytes of in_ known to be whole messages of a pipeline
  std::size_t skip_bytes_ = 0;  // rest of a client message that nobody wants, or not yet
  std::size_t copy_bytes_ = 0;  // rest of one that is being passed on: CopyData, a large Bind or FunctionCall
  char held_up_ = 0;  // type of a message, or end of a pipeline, of held_up_size_ bytes that has to wait for gate or pool
  std::size_t held_up_size_ = 0;

  std::int32_t pid_ = 0;
  std::int32_t protocol_ = protocol::protocol_3_0;
  std::array<char, 32> key_{};  // of CancelRequest; clients of protocol 3.0 know the first 4 bytes
  std::string user_, database_, application_;
  text_pairs parameters_;
  credentials secret_;
  clock::time_point connected_, unit_started_;
  routing::generation generation_told_;

  struct known_pool {
    routing::shard_id shard;
    pool* where = nullptr;
  };
  std::vector<known_pool> pools_;  // of the map and the pools_version that were current when they were asked for
  routing::generation pools_map_;
  std::uint64_t pools_version_ = 0;
  pool* awaited_ = nullptr;  // what the message at hand could not be sent without: a server of that pool, and its queue is long
  pool::place queue_place_{*this};
  server_ptr given_;         // in the queue, for the message that waited
  branch here_;                        // the server of the transaction under way, if it has one
  std::vector<branch> elsewhere_;      // the others, at rest
  transaction_log log_;                // of the transaction on here_ and elsewhere_
  std::optional<clock::time_point> holds_since_;  // it may hold locks
  bool state_went_ = false;            // with a branch that was lost
  bool scattering_ = false;            // a statement runs on all of them
  done_for_message done_;
  held_transaction held_;
  session_state state_;
  client_statements names_;
  std::vector<std::pair<std::string, statement_ptr>> portals_;
  std::vector<batch_item> batch_;
  bool batch_is_plain_ = false;  // all of its statements are: as find_plans() found them
  std::vector<std::pair<std::string, routing::shard_id>> prepared_on_;  // prepared transactions of this unit, where they were found
  std::vector<migration::prepared_names::claim> claims_;                // names that this unit prepares
  std::string_view run_;  // of frames in in_ that are to be sent as they are
  std::optional<protocol::notice> batch_refused_;  // what follows the last item of batch_
  bool prepare_refused_ = false;                   // ... is PREPARE TRANSACTION
  touch_bits touched_ = 0;
  clock::time_point touched_since_;  // the first of them

  bool unit_open_ = false;      // answers to the client are outstanding
  bool pipeline_open_ = false;  // messages were sent up to a Flush; Sync is to come
  bool skip_to_sync_ = false;   // an error happened: messages are discarded until Sync
  bool query_waits_ = false;    // the next message, for the answers of the pipeline before it
  said_in_unit unit_says_ = said_in_unit::nothing;
  bool unit_in_block_ = false, unit_writes_ = false, unit_may_commit_ = false, unit_misreads_ = false;
  deadline_list::place unit_place_{*this}, transaction_place_{*this}, question_place_{*this};
  std::optional<timed> expired_;
  bool killed_ = false;
  std::optional<protocol::notice> lost_;  // the server went away, and what waits for it or the client's next message is to tell
  routing::parameters& literals_;
  bool cancelled_ = false, waiting_ = false;
  bool leaving_ = false, closing_ = false, logged_in_ = false;
  replication replication_ = replication::none;
  bool told_why_ = false;  // the client is sent an error before it is closed
};

}  // namespace proxy
