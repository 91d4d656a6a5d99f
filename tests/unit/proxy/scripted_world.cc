// The rounds of a world and the walks through its steps; its pools are in scripted_pools.cc, what must be true at the end in scripted_checks.cc.
#include "scripted_world.h"

#include <algorithm>

#include <boost/asio/co_spawn.hpp>
#include <doctest/doctest.h>

#include "../routing/sample_map.h"
#include "migration/base/log.h"
#include "protocol/scram.h"
#include "proxy/net/crypto.h"
#include "scratch.h"
#include "scripted_pools.h"
#include "scripted_recovery.h"

namespace scripted {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view user = "app", password = "secret";

// One iteration: a walk logs in some hundred times.
std::shared_ptr<const proxy::users> known_users() {
  static const auto known = [] {
    const scratch folder;
    const auto verifier = protocol::make_scram_verifier(proxy::openssl_crypto(), password, "0123456789abcdef", 1);
    const auto file = folder.write("users", "\"app\" \"" + protocol::format_scram_verifier(verifier) + "\"\n");
    return std::make_shared<const proxy::users>(proxy::users::load(file));
  }();
  return known;
}

proxy::config usual_settings() {
  proxy::config c;
  c.query_timeout = 60s;
  c.max_message_bytes = 4u << 20;
  return c;
}

}  // namespace

std::string_view to_string(trouble one) noexcept {
  constexpr std::string_view names[] = {"none", "lost before", "lost behind", "cut", "fatal", "refused", "silent", "nonsense", "the client leaves", "the client cancels"};
  return names[static_cast<std::size_t>(one)];
}

world::world(setup made) : services(own_io_, usual_settings(), known_users()), made_(std::move(made)) {
  migration::set_log_level(migration::log_level::error);  // what goes wrong here is meant to
  map = sample::map();
  for (const auto& one : map->shards()) {
    shards_.push_back(std::make_unique<shard>(one.name));
    sides_.push_back(std::make_unique<shard_side>(made_.pool_size));
  }
  if (made_.commits != recovers::nobody) shared.recovery = recovery_ = std::make_shared<recovery>(shards_, made_.commits == recovers::knowing);
  deadlines.set(proxy::timed::statement, settings.query_timeout);
  deadlines.set(proxy::timed::obey, 5s);
  deadlines.set(proxy::timed::question, 5s);
  deadlines.set(proxy::timed::server, 10s);
  deadlines.set(proxy::timed::gathering, 200ms);
}

world::~world() {
  if (auto* left = session()) {  // a test has failed
    left->leave_now();
    client_->leave();
    for (int i = 0; i < 10; ++i) round();
  }
  pools_.clear();
  migration::set_log_level(migration::log_level::info);
}

proxy::session* world::session() { return session_.lock().get(); }

proxy::pool& world::pool_of(std::uint32_t number) {
  const auto found = std::ranges::find_if(pools_, [number](const auto& one) { return one.first.shard.value == number; });
  REQUIRE(found != pools_.end());
  return found->second->servers;
}

void world::run(std::vector<turn> turns, trouble what, int at) {
  trouble_ = what;
  trouble_at_ = at;
  client_ = std::make_unique<client>(std::move(turns), std::string(user), std::string(password));
  client_->wire()->piece = made_.piece;
  auto one = std::make_shared<proxy::session>(*this, -1, client_number, std::make_unique<near_end>(client_->wire()));
  session_ = one;
  boost::asio::co_spawn(io, one->run(), [](const std::exception_ptr& failure) { CHECK(failure == nullptr); });
  round();
  one.reset();  // its coroutine has it now
  settle();
}

// What becomes of what is done now.
fault world::next_step(char kind) {
  kinds_.push_back(kind);
  if (made_.goes_wrong) trouble_ = made_.goes_wrong(kind), trouble_at_ = static_cast<int>(kinds_.size());
  if (static_cast<int>(kinds_.size()) != trouble_at_) return fault::none;
  if (trouble_ == trouble::client_cancels) cancel_as_client();
  if (trouble_ == trouble::client_leaves) client_->leave();
  return trouble_ < trouble::client_leaves ? static_cast<fault>(trouble_) : fault::none;
}

void world::cancel_as_client() {
  const auto& key = client_->key();
  if (!key || !session()) return;
  session()->cancel(key->key);
  cancels_arrive();
}

bool world::shards_move() {
  bool moved = false;
  for (const auto& side : sides_) moved = side->settle() || moved;
  for (const auto& [key, each] : pools_) moved = log_in(*each) || moved;
  for (const auto& one : shards_) {
    for (std::size_t i = 0; i < one->connections.size(); ++i) {
      auto& each = *one->connections[i];
      each.notice_end();
      if (!each.waits()) continue;
      const auto what = next_step('s');
      if (each.waits()) each.step(what);
      moved = true;
    }
  }
  return moved;
}

bool world::client_moves() {
  bool moved = client_->hear();
  if (!client_->has_turn()) return moved;
  if (made_.before) made_.before(*this, client_->reached());
  next_step('c');
  if (client_->has_turn()) client_->say();
  return true;
}

bool world::round() {
  io.restart();
  bool moved = io.poll() > 0;
  moved = shards_move() || moved;
  moved = cancels_arrive() || moved;
  moved = client_moves() || moved;
  moved = client_->wire()->deliver() || moved;
  for (const auto& one : shards_)
    for (std::size_t i = 0; i < one->connections.size(); ++i) moved = one->connections[i]->wire().deliver() || moved;
  return moved;
}

// Until nothing moves and nobody waits for anything.
void world::settle() {
  constexpr int enough = 200'000;
  int waits = 0;
  for (int rounds = 0; rounds < enough; ++rounds) {
    if (round()) {
      waits = 0;
      continue;
    }
    if (client_->go_on()) continue;
    const bool busy = std::ranges::any_of(pools_, [](const auto& one) { return one.second->servers.active() > 0; });
    if (session_.expired() && client_->gone() && !busy) return;
    if (made_.stands_still && made_.stands_still(*this)) continue;
    if (!let_time_pass(waits++)) break;
  }
  std::string heard;
  for (std::size_t i = 0; i < client_->reached(); ++i) heard += "\n  " + client_->heard(i);
  for (const auto& one : shards_) heard += "\n  " + one->name + ": " + one->heard;
  FAIL("the session stands still at step ", kinds_.size(), ", the client has heard ", heard);
}

// Nothing moves: a shard is tried again, time-outs pass, and what was silent breaks.
bool world::let_time_pass(int so_often) {
  if (so_often == 0)
    for (const auto& [key, each] : pools_) each->servers.shard_changed();
  else deadlines.tick(proxy::clock::now() + (so_often % 2 != 0 ? 15s : 120s));
  if (so_often < 4) return true;
  bool broke = false;
  for (const auto& one : shards_) {
    for (const auto& each : one->connections) {
      if (!each->silent() || each->gone()) continue;
      each->vanish();
      broke = true;
    }
  }
  return broke || so_often < 6;
}

std::string world::transcript() const {
  std::string all;
  for (std::size_t i = 0; i < client_->reached(); ++i) all += "< " + client_->heard(i) + (client_->heard(i).empty() ? "" : " ");
  return all;
}

std::string world::told(std::uint32_t number) { return std::exchange(at(number).heard, {}); }

namespace {

void run_once(const setup& made, const std::vector<turn>& turns, trouble what, int at) {
  world w(made);
  w.run(turns, what, at);
  w.check();
}

// Does it make a difference at such a step?
bool concerns(trouble what, char kind) {
  if (kind == 's' || what >= trouble::client_leaves) return true;
  return kind == 'l' && (what == trouble::lost_before || what == trouble::refused);
}

}  // namespace

void walk(const setup& made, const std::vector<turn>& turns, const std::function<void(world&)>& expect) {
  std::string kinds;
  {
    world w(made);
    w.run(turns);
    w.check();
    expect(w);
    kinds = w.kinds();
  }
  for (const auto piece : made.pieces) {
    CAPTURE(piece);
    auto in_pieces = made;
    in_pieces.piece = piece;
    world w(in_pieces);
    w.run(turns);
    w.check();
    expect(w);
  }
  for (int i = 1; i < troubles; ++i) {
    const auto what = static_cast<trouble>(i);
    CAPTURE(to_string(what));
    for (int at = 1; at <= static_cast<int>(kinds.size()); ++at) {
      if (!concerns(what, kinds[static_cast<std::size_t>(at) - 1])) continue;
      CAPTURE(at);
      run_once(made, turns, what, at);
    }
  }
}

}  // namespace scripted
